"""The bundled model in float32: against diffusers, across gangs, against the forecast, and through the commands."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

from actors.engine import RunOptions, VideoRequest
from cluster.pab import PabConfig
from pipelines.app import app
from tests.actors.engine.gang import Case, run_gangs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMPT = "an orange square moving down over a navy background"
WINDOW = (100.0, 800.0)
PABS = {
    "off": PabConfig(),
    "pab246": PabConfig(spatial=2, temporal=4, cross=6, timesteps=WINDOW),
    "pab579": PabConfig(spatial=5, temporal=7, cross=9, timesteps=WINDOW),
}
PAB236 = PabConfig(spatial=2, temporal=3, cross=6, timesteps=WINDOW)
STEPS, SEED, SCALE = 12, 5, 4.0
WIDTHS = (2, 3, 4)
FLAGS = ("--size", "96x64", "--steps", STEPS, "--guidance", SCALE)


def request(pab: PabConfig) -> VideoRequest:
    return VideoRequest(
        prompt=PROMPT,
        seed=SEED,
        height=64,
        width=96,
        num_frames=16,
        steps=STEPS,
        guidance_scale=SCALE,
        model="demo",
        model_revision="bundled",
        pab=pab,
    )


@pytest.fixture(scope="module")
def made(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What gangs make, by PAB and width, and one worker with other PABs and its guidance in two passes."""
    options = RunOptions(return_latents=True)
    cases = [
        Case(f"{name}-{width}", width, request(pab), options) for name, pab in PABS.items() for width in (1, *WIDTHS)
    ]
    cases.append(Case("pab236-1", 1, request(PAB236), options))
    cases.append(Case("ones-1", 1, request(PabConfig(timesteps=WINDOW)), options))
    cases.append(Case("two-pass-1", 1, request(PABS["pab246"]), RunOptions(return_latents=True, guidance="two_pass")))
    return run_gangs(demo_model, cases, tmp_path_factory.mktemp("gangs"))


def predicted(pab: str, gang: int) -> dict[str, Any]:
    """What `pabcast schedule` says."""
    words = ["schedule", *(str(flag) for flag in FLAGS), "--pab", pab, "--gang", str(gang), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return said


def diffusers_latents(folder: Path, *, pab236: bool) -> np.ndarray:
    pipeline = diffusers.LattePipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    if pab236:
        window = (100, 800)
        config = diffusers.PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            temporal_attention_block_skip_range=3,
            cross_attention_block_skip_range=6,
            spatial_attention_timestep_skip_range=window,
            temporal_attention_timestep_skip_range=window,
            cross_attention_timestep_skip_range=window,
            # Its default also matches the temporal blocks and gives them the spatial range.
            spatial_attention_block_identifiers=(r"^transformer_blocks",),
            current_timestep_callback=lambda: pipeline._current_timestep,
        )
        diffusers.apply_pyramid_attention_broadcast(pipeline.transformer, config)
    video = pipeline(
        PROMPT,
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        height=64,
        width=96,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="latent",
    )
    return video.frames.numpy()


@pytest.mark.parametrize("pab", ["off", "pab236"])
def test_one_worker_equals_diffusers(made, demo_model, pab):
    ours, theirs = made[f"{pab}-1"]["latents"], diffusers_latents(demo_model, pab236=pab == "pab236")
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.std()


def test_pab_changes_the_video(made):
    off, pab = made["off-1"]["latents"], made["pab236-1"]["latents"]
    assert np.abs(off - pab).max() > 1e-2 * off.std()


@pytest.mark.parametrize("gang", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_a_gang_equals_one_worker_and_sends_what_schedule_says(made, pab, gang):
    alone, gangs = made[f"{pab}-1"]["latents"], made[f"{pab}-{gang}"]
    assert np.abs(gangs["latents"] - alone).max() <= 1e-4 * alone.std()
    said, report = predicted(pab, gang), gangs["report"]
    for name in ("all_to_all", "all_gather", "swaps"):
        assert asdict(getattr(report, name)) == said["collectives"][name]
    assert report.computed == said["computed"]
    assert report.cache_peak_bytes == said["cache_bytes"]


def test_range_one_is_bit_identical_to_off(made):
    assert np.array_equal(made["ones-1"]["latents"], made["off-1"]["latents"])


def test_two_passes_equal_batched_guidance(made):
    batched = made["pab246-1"]["latents"]
    assert np.abs(made["two-pass-1"]["latents"] - batched).max() <= 1e-4 * batched.std()


def test_generate_makes_what_the_engine_makes_and_sends_what_schedule_says(made, tmp_path):
    file = tmp_path / "latents.safetensors"
    words = ["generate", PROMPT, *FLAGS, "--seed", SEED, "--pab", "pab246", "--gang", 2, "--json"]
    command = [Path(sys.executable).with_name("pabcast"), *words, "--out", tmp_path / "a.mp4", "--save-latents", file]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    latents, alone = load_file(file)["latents"], made["pab246-1"]["latents"]
    assert np.abs(latents - alone).max() <= 1e-4 * alone.std()
    told, said = json.loads(result.stdout.splitlines()[-1]), predicted("pab246", 2)
    for key in ("collectives", "computed", "cache_bytes"):
        assert told[key] == said[key]
