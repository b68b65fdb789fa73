"""The timesteps that planning knows without torch are those of diffusers' schedulers; what samplers may sample."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, DDIMScheduler, PNDMScheduler, UniPCMultistepScheduler

from actors.engine import Engine, RunOptions, VideoRequest, join_parts
from actors.engine.sampling_times import SAMPLERS, fresh_scheduler, load_scheduler
from cluster.errors import RequestError
from cluster.sampler import SamplerNumbers
from cluster.shape import Shape
from tests.tiny_joint_models import save_tiny_cogvideox, save_tiny_wan
from tests.tiny_model import save_tiny_model
from tests.tiny_open_sora import save_tiny_open_sora_plan

SHAPE = Shape(height=480, width=832, num_frames=81)
STEPS = [*range(4, 201), 250, 333, 500, 777, 999, 1000]


def flow(shift: float) -> UniPCMultistepScheduler:
    """As Wan's scheduler_config.json has it."""
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)


@pytest.mark.parametrize(
    ("numbers", "scheduler"),
    [
        (SamplerNumbers(kind="ddim_leading"), DDIMScheduler()),
        (SamplerNumbers(kind="ddim_trailing"), CogVideoXDDIMScheduler(timestep_spacing="trailing")),
        (SamplerNumbers(kind="pndm"), PNDMScheduler()),
        (SamplerNumbers(kind="unipc_flow", flow_shift=3.0), flow(3.0)),
        (SamplerNumbers(kind="unipc_flow", flow_shift=5.0), flow(5.0)),
    ],
    ids=["ddim_leading", "ddim_trailing", "pndm", "unipc_flow-3", "unipc_flow-5"],
)
def test_timesteps_are_those_of_diffusers(numbers, scheduler):
    for steps in STEPS:
        scheduler.set_timesteps(steps)
        assert list(numbers.timesteps(steps, SHAPE)) == scheduler.timesteps.tolist(), steps


def test_pndm_refuses_fewer_steps_than_it_starts_with():
    with pytest.raises(RequestError, match="steps is 3; the model's sampler, PNDM, takes 4 or more"):
        SamplerNumbers(kind="pndm").timesteps(3, SHAPE)


@pytest.mark.parametrize(("skip_prk_steps", "least"), [(False, 4), (True, 1)])
def test_so_does_diffusers_scheduler_unless_it_skips_that_start(skip_prk_steps, least):
    scheduler = PNDMScheduler(skip_prk_steps=skip_prk_steps)
    assert len(fresh_scheduler(scheduler, 4, torch.device("cpu"), SHAPE).timesteps) == (5 if skip_prk_steps else 13)
    with pytest.raises(RequestError, match=f"takes {least} to 1000"):
        fresh_scheduler(scheduler, least - 1, torch.device("cpu"), SHAPE)


SAVE = {
    "CogVideoXPipeline": lambda folder: save_tiny_cogvideox(folder, rotary=True),
    "LattePipeline": save_tiny_model,
    "OpenSoraPlanPipeline": save_tiny_open_sora_plan,
    "WanPipeline": save_tiny_wan,
}
TINY = {
    "CogVideoXPipeline": Shape(height=48, width=80, num_frames=9),
    "LattePipeline": Shape(height=32, width=32, num_frames=16),
    "OpenSoraPlanPipeline": Shape(height=64, width=64, num_frames=17),
    "WanPipeline": Shape(height=32, width=32, num_frames=9),
}
OTHER_SETTINGS = [
    ("LattePipeline", "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    ("LattePipeline", "PNDMScheduler", {"skip_prk_steps": True}),
    ("LattePipeline", "EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("LattePipeline", "UniPCMultistepScheduler", {"solver_order": 3}),
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samplers")
    return {pipeline: Engine.load(str(save(folder / pipeline))) for pipeline, save in SAVE.items()}


@pytest.mark.parametrize(
    ("pipeline", "name", "settings"),
    [*((pipeline, name, {}) for pipeline, names in SAMPLERS.items() for name in names), *OTHER_SETTINGS],
)
def test_of_every_sampler_that_is_taken_a_request_has_one_video_and_each_snapshot_leads_to_it(
    pipeline, name, settings, engines, tmp_path, monkeypatch
):
    (tmp_path / "scheduler").mkdir()
    if pipeline == "WanPipeline":
        settings = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    (tmp_path / "scheduler/scheduler_config.json").write_text(json.dumps({"_class_name": name, **settings}))
    engine, shape = engines[pipeline], TINY[pipeline]
    scheduler, parts = load_scheduler(tmp_path, pipeline), engine.model.parts
    if dataclasses.is_dataclass(parts):
        monkeypatch.setattr(engine.model, "parts", dataclasses.replace(parts, scheduler=scheduler))
    else:
        monkeypatch.setattr(parts, "scheduler", scheduler)
    monkeypatch.setattr(engine.model, "decode", lambda latents, peers: (np.zeros((0, 1, 1, 3), np.uint8), 0))
    request = VideoRequest(
        prompt="a red circle",
        seed=1,
        steps=4,
        guidance_scale=4.0,
        height=shape.height,
        width=shape.width,
        num_frames=shape.num_frames,
        model="tiny",
        model_revision="r",
    )

    def make(global_seed, resume=None):
        snapshots = []
        torch.manual_seed(global_seed)
        options = RunOptions(return_latents=True, snapshot_every=1)
        return engine.generate(request, options=options, on_snapshot=snapshots.append, resume=resume).latents, snapshots

    latents, snapshots = make(1)
    assert np.array_equal(make(2)[0], latents)
    assert len(snapshots) >= 3
    for snapshot in snapshots:
        assert np.array_equal(make(3, join_parts([snapshot]))[0], latents)
