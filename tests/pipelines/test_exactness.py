"""The bundled model through the commands, in float32: against diffusers, across gangs, and against the forecast."""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMPT = "an orange square moving down over a navy background"
PAB236 = "spatial=2,temporal=3,cross=6,timesteps=100:800"
STEPS = 30


@dataclass(frozen=True)
class Made:
    """What `generate` left and said."""

    latents: np.ndarray
    said: dict[str, object]


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")

    @cache
    def generate(pab: str, gang: int, *flags: str) -> Made:
        file = folder / f"{len(list(folder.iterdir()))}.safetensors"
        said = run_json(
            "generate", PROMPT, "--size", "96x64", "--steps", STEPS, "--seed", 5, "--guidance", 4.0, "--pab", pab,
            "--gang", gang, "--out", file.with_suffix(".mp4"), "--save-latents", file, *flags,
        )  # fmt: skip
        return Made(latents=load_file(file)["latents"], said=said)

    return generate


def run_json(*words: object) -> dict[str, object]:
    script = Path(sys.executable).with_name("pabcast")
    command = [str(script), *(str(word) for word in words), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


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
        guidance_scale=4.0,
        height=64,
        width=96,
        generator=torch.Generator("cpu").manual_seed(5),
        output_type="latent",
    )
    return video.frames.numpy()


@pytest.mark.parametrize(("pab", "pab236"), [("off", False), (PAB236, True)])
def test_one_worker_equals_diffusers(make, demo_model, pab, pab236):
    ours, theirs = make(pab, 1).latents, diffusers_latents(demo_model, pab236=pab236)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.std()


def test_pab_changes_the_video(make):
    off, pab = make("off", 1).latents, make(PAB236, 1).latents
    assert np.abs(off - pab).max() > 1e-2 * off.std()


@pytest.mark.parametrize(("pab", "gang"), [("off", 2), ("pab246", 3), ("pab246", 4), ("pab579", 2)])
def test_a_gang_equals_one_worker_and_sends_what_was_forecast(make, pab, gang):
    alone, made = make(pab, 1), make(pab, gang)
    assert np.abs(made.latents - alone.latents).max() <= 1e-4 * alone.latents.std()
    words = ("--size", "96x64", "--steps", STEPS, "--guidance", 4.0, "--pab", pab, "--gang", gang)
    predicted = run_json("schedule", *words)
    assert made.said["collectives"] == predicted["collectives"]
    assert made.said["computed"] == predicted["computed"]
    assert made.said["cache_bytes"] == predicted["cache_bytes"]


def test_range_one_is_bit_identical_to_off(make):
    one = make("spatial=1,temporal=1,cross=1,timesteps=100:800", 1)
    assert np.array_equal(one.latents, make("off", 1).latents)


def test_two_passes_equal_batched_guidance(make):
    passes, batched = make("pab246", 1, "--guidance-passes", "two_pass"), make("pab246", 1)
    assert np.abs(passes.latents - batched.latents).max() <= 1e-4 * batched.latents.std()
