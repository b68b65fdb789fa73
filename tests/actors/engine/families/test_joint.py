"""CogVideoX and Wan from folders as diffusers saves them: diffusers' own videos, on gangs of any legal width."""

from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from actors.engine import Engine, RunOptions, VideoRequest, inspect_model, timesteps
from cluster.forecast import forecast
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from tests.actors.engine.gang import Case, run_gangs
from tests.tiny_joint_models import TEXT_TOKENS, save_tiny_cogvideox, save_tiny_wan

FAMILIES = ("cogvideox-2b", "cogvideox-5b", "wan")
WIDTHS = (2, 3, 4)
PABS = {"off": PabConfig(), "pab": PabConfig(spatial=2, cross=3, timesteps=(100, 900))}
OPTIONS = RunOptions(return_latents=True, snapshot_every=2)
STEPS = 8


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("joint")
    return {
        "cogvideox-2b": save_tiny_cogvideox(folder / "2b", rotary=False),
        "cogvideox-5b": save_tiny_cogvideox(folder / "5b", rotary=True),
        "wan": save_tiny_wan(folder / "wan"),
    }


def request(family: str, pab: str) -> VideoRequest:
    # 45 tokens of video in CogVideoX, which do not divide by 2 or 4, nor with the text by 3; 2 x 3 x 5 in Wan.
    return VideoRequest(
        prompt="a red circle",
        seed=7,
        height=48,
        width=80,
        num_frames=9,
        steps=STEPS,
        guidance_scale=4.0,
        model=family,
        model_revision="test",
        pab=PABS[pab],
    )


@pytest.fixture(scope="module")
def alone(models):
    made = {}
    for family in FAMILIES:
        engine = Engine.load(str(models[family]))
        for pab in PABS:
            made[family, pab] = engine.generate(request(family, pab), options=OPTIONS)
    return made


@pytest.fixture(scope="module")
def gangs(models, tmp_path_factory):
    cases = [case for family in FAMILIES for case in cases_of(family, models[family])]
    found = run_gangs(models["wan"], cases, tmp_path_factory.mktemp("gangs"))
    return {tuple(name.split(":")): output for name, output in found.items()}


def cases_of(family: str, model: Path) -> list[Case]:
    """Every way to make the family's video in a gang."""

    def case(name: str, width: int, pab: str = "pab", options: RunOptions = OPTIONS, resume_of: str = "") -> Case:
        earlier = f"{family}:{resume_of}" if resume_of else ""
        return Case(f"{family}:{name}", width, request(family, pab), options, earlier, model)

    two_pass, split = (RunOptions(return_latents=True, guidance=guidance) for guidance in ("two_pass", "split"))
    return [
        *(case(f"{pab}-{width}", width, pab) for pab in PABS for width in WIDTHS),
        case("two-pass-2", 2, options=two_pass),
        *(case(f"split-{width}", width, options=split) for width in (2, 4)),
        *(case(f"resumed-{width}", width, resume_of="pab-2") for width in (1, 3)),
    ]


def differ(latents: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(latents - wanted).max() / wanted.std())


@pytest.mark.parametrize("family", FAMILIES)
def test_without_pab_it_is_the_video_of_diffusers(models, alone, family):
    output, asked = alone[family, "off"], request(family, "off")
    pipeline = diffusers.DiffusionPipeline.from_pretrained(models[family])
    pipeline.set_progress_bar_config(disable=True)
    if family == "cogvideox-5b":
        pipeline.scheduler = diffusers.CogVideoXDDIMScheduler.from_config(pipeline.scheduler.config)
    settings = {"max_sequence_length": TEXT_TOKENS} if family != "wan" else {}
    frames = pipeline(
        asked.prompt,
        negative_prompt="",
        height=asked.height,
        width=asked.width,
        num_frames=asked.num_frames,
        num_inference_steps=STEPS,
        guidance_scale=asked.guidance_scale,
        generator=torch.Generator().manual_seed(asked.seed),
        output_type="np",
        **settings,
    ).frames[0]
    assert output.frames.shape == frames.shape
    assert np.abs(output.frames.astype(int) - (frames * 255).round().astype(int)).max() <= 1
    assert output.frames.std() > 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gang_makes_what_one_worker_makes(gangs, alone, family, pab, width):
    found, wanted = gangs[family, f"{pab}-{width}"], alone[family, pab]
    assert differ(found["latents"], wanted.latents) <= 1e-4
    assert found["frames"].shape == wanted.frames.shape
    assert np.abs(found["frames"].astype(int) - wanted.frames.astype(int)).max() <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_pab_changes_the_video_a_little_and_how_guidance_runs_does_not(gangs, alone, family):
    wanted = alone[family, "pab"].latents
    assert differ(wanted, alone[family, "off"].latents) > 1e-3
    for name in ("two-pass-2", "split-2", "split-4"):
        assert differ(gangs[family, name]["latents"], wanted) <= 1e-4


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_snapshot_of_a_gang_of_two_goes_on_at_any_width_with_what_the_sampler_remembers(gangs, alone, family, width):
    resumed = gangs[family, f"resumed-{width}"]
    assert STEPS // 2 <= resumed["resumed_at"] < STEPS
    assert differ(resumed["latents"], alone[family, "pab"].latents) <= 1e-4


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_sent_and_held_is_what_was_forecast(models, gangs, family, pab, width):
    asked = request(family, pab)
    schedule = BroadcastSchedule.build(asked.pab, timesteps(models[family], asked.steps, asked.shape))
    said = forecast(inspect_model(models[family]).numbers, asked.shape, schedule, width)
    report = gangs[family, f"{pab}-{width}"]["report"]
    assert report.all_to_all == said.all_to_all
    assert report.all_gather == said.all_gather
    assert report.swaps == said.swaps
    # Three latent frames are one chunk of CogVideoX's decoder, and three of Wan's.
    assert (report.decode_sends.calls > 0) == (family == "wan")
    assert report.cache_peak_bytes == said.cache_bytes
