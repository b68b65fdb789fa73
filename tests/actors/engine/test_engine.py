"""One worker against diffusers' own pipeline, and against itself."""

import dataclasses
import threading

import diffusers
import numpy as np
import pytest
import torch

from actors.engine import Engine, RunOptions, StopSignal, VideoRequest
from actors.engine.guidance import GuidedDenoiser
from actors.engine.sequence import FrameParallel
from cluster.errors import Cancelled, ConfigError, NotFinite, RequestError
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule

PAB236 = PabConfig(spatial=2, temporal=3, cross=6, timesteps=(100, 800))
LATENTS = RunOptions(return_latents=True)


@pytest.fixture(scope="module")
def engine(tiny_model):
    return Engine.load(str(tiny_model))


@pytest.fixture(scope="module")
def asked(engine):
    return VideoRequest(
        prompt="A red circle moving left",
        negative_prompt="blurry",
        seed=3,
        height=32,
        width=48,
        num_frames=16,
        steps=12,
        guidance_scale=4.0,
        model="tiny",
        model_revision=engine.card.revision,
    )


def diffusers_latents(folder, asked, pab236=False):
    pipeline = diffusers.LattePipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    if pab236:
        config = diffusers.PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            temporal_attention_block_skip_range=3,
            cross_attention_block_skip_range=6,
            spatial_attention_timestep_skip_range=(100, 800),
            temporal_attention_timestep_skip_range=(100, 800),
            cross_attention_timestep_skip_range=(100, 800),
            # Its default also matches the temporal blocks and gives them the spatial range.
            spatial_attention_block_identifiers=(r"^transformer_blocks",),
            current_timestep_callback=lambda: pipeline._current_timestep,
        )
        diffusers.apply_pyramid_attention_broadcast(pipeline.transformer, config)
    return pipeline(
        asked.prompt,
        asked.negative_prompt,
        num_inference_steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        height=asked.height,
        width=asked.width,
        video_length=asked.num_frames,
        generator=torch.Generator("cpu").manual_seed(asked.seed),
        output_type="latent",
    ).frames.numpy()


@pytest.mark.parametrize("patch_size", [1, 2])
def test_pab_off_equals_diffusers_own_pipeline(tmp_path, asked, patch_size):
    from tests.tiny_model import save_tiny_model

    folder = save_tiny_model(tmp_path, patch_size=patch_size)
    asked = dataclasses.replace(asked, height=64, width=96, steps=4)
    ours = Engine.load(str(folder)).generate(asked, options=LATENTS).latents
    theirs = diffusers_latents(folder, asked)
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.std()


def test_pab_equals_diffusers_own_with_its_patterns_corrected(tiny_model, engine, asked):
    ours = engine.generate(dataclasses.replace(asked, pab=PAB236), options=LATENTS).latents
    theirs = diffusers_latents(tiny_model, asked, pab236=True)
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.std()
    off = engine.generate(asked, options=LATENTS).latents
    assert np.abs(ours - off).max() > 1e-2 * off.std(), "PAB changes something"


def test_range_one_is_bit_identical_to_off(engine, asked):
    off = engine.generate(asked, options=LATENTS)
    one = engine.generate(dataclasses.replace(asked, pab=PabConfig(window=(0.1, 0.9))), options=LATENTS)
    assert np.array_equal(off.latents, one.latents)
    assert one.report.cache_peak_bytes == 0


def test_a_request_after_a_cancelled_one_is_bit_identical_to_one_on_a_fresh_engine(tiny_model, engine, asked):
    asked = dataclasses.replace(asked, pab=PAB236)
    stop = StopSignal()
    with pytest.raises(Cancelled):
        engine.generate(asked, stop=stop, on_step=lambda step: stop.stop_at(5) if step == 4 else None)
    after = engine.generate(asked, options=LATENTS)
    fresh = Engine.load(str(tiny_model)).generate(asked, options=LATENTS)
    assert np.array_equal(after.latents, fresh.latents)
    assert np.array_equal(after.frames, fresh.frames)


def test_a_request_after_a_failed_one_is_bit_identical(engine, asked):
    asked = dataclasses.replace(asked, pab=PAB236)
    before = engine.generate(asked, options=LATENTS)

    def fail(step):
        if step == 6:
            raise ValueError("the disk fell off")

    with pytest.raises(ValueError, match="fell off"):
        engine.generate(asked, on_step=fail)
    assert np.array_equal(engine.generate(asked, options=LATENTS).latents, before.latents)


def test_a_held_sampler_waits_at_its_boundary_until_told_where_to_stop(engine, asked):
    stop, reached = StopSignal(), []
    answers = []

    def on_step(step):
        reached.append(step)
        if step == 3:
            answers.append(stop.hold())
            threading.Timer(0.3, stop.stop_at, [answers[0] + 1]).start()

    with pytest.raises(Cancelled, match="before step 4"):
        engine.generate(asked, stop=stop, on_step=on_step)
    assert answers == [3]
    assert reached == [0, 1, 2, 3]


def test_two_passes_keep_the_branches_apart_under_pab_and_equal_batched_guidance(engine, asked):
    asked = dataclasses.replace(asked, pab=PAB236)
    batched = engine.generate(asked, options=LATENTS)
    passes = engine.generate(asked, options=RunOptions(return_latents=True, guidance="two_pass"))
    assert np.abs(batched.latents - passes.latents).max() <= 1e-4 * batched.latents.std()
    scheduler = engine.model.sampler(12, asked.shape)
    schedule = BroadcastSchedule.build(PAB236, scheduler.timesteps.tolist())
    guided = engine._guided(asked, schedule, RunOptions(guidance="two_pass"))
    assert isinstance(guided, GuidedDenoiser)
    latents = engine._noise(asked)
    with torch.no_grad():
        for step, timestep in enumerate(scheduler.timesteps):
            uncond, cond = guided.predictions(latents, timestep, step, FrameParallel(16, 24))
            assert (cond - uncond).norm() > 1e-3 * cond.norm(), f"guidance vanished at step {step}"
    assert guided.cache_bytes == 0, "the last read frees"


def test_a_guidance_scale_of_one_runs_one_branch(engine, asked):
    plain = dataclasses.replace(asked, guidance_scale=1.0, pab=PAB236)
    assert engine.generate(plain).report.cache_peak_bytes * 2 == (
        engine.generate(dataclasses.replace(asked, pab=PAB236)).report.cache_peak_bytes
    )


def test_frames_are_what_diffusers_decodes(tiny_model, engine, asked):
    output = engine.generate(asked, options=LATENTS)
    pipeline = diffusers.LattePipeline.from_pretrained(tiny_model)
    with torch.no_grad():
        video = pipeline.decode_latents(torch.from_numpy(output.latents), asked.num_frames)
    frames = pipeline.video_processor.postprocess_video(video=video, output_type="np")[0]
    assert np.abs(output.frames.astype(int) - (frames * 255).round().astype(int)).max() <= 1


def test_latents_that_become_nan_are_said_to_be(engine, asked):
    with pytest.raises(NotFinite, match="NaN"):
        engine.generate(dataclasses.replace(asked, guidance_scale=1e38, steps=3))


def test_a_video_that_does_not_fit_the_memory_is_told_with_its_size(demo_model):
    import subprocess
    import sys

    program = (
        "import resource, sys; from actors.engine import Engine, VideoRequest; from cluster.errors import OutOfMemory\n"
        f"engine = Engine.load({str(demo_model)!r})\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), used + (64 << 20)))\n"
        "request = VideoRequest(prompt='x', height=512, width=512, num_frames=16, steps=1, guidance_scale=4.0,"
        " model='demo', model_revision='')\n"
        "try: engine.generate(request)\n"
        "except OutOfMemory as error: print(error); sys.exit(7)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert result.returncode == 7, result.stderr
    assert "512x512x16 (4,194,304 pixels) does not fit" in result.stdout


def test_a_size_the_model_cannot_make_is_refused_before_any_work(engine, asked):
    with pytest.raises(RequestError, match="not divisible by 8"):
        engine.generate(dataclasses.replace(asked, height=33))


def test_more_steps_than_the_scheduler_has_are_refused(engine, asked):
    with pytest.raises(RequestError, match="1001; the model's scheduler takes 1 to 1000"):
        engine.generate(dataclasses.replace(asked, steps=1001))


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no model folder"):
        Engine.load(str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match=r"model_index\.json is missing"):
        Engine.load(str(tmp_path))
