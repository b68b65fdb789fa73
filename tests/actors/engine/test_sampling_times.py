"""The timesteps that planning knows without torch are those of diffusers' schedulers."""

import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, DDIMScheduler, PNDMScheduler, UniPCMultistepScheduler

from actors.engine.sampling_times import fresh_scheduler
from cluster.errors import RequestError
from cluster.sampler import SamplerNumbers
from cluster.shape import Shape

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
