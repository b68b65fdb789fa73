"""What the bundled model makes, read from the pixels, and what broadcasting costs it."""

import os
from collections.abc import Iterator

import pytest
import torch

from actors.engine import Engine
from actors.engine.demo.judge import read_video, score
from actors.engine.demo.pab_quality import Settings, measure
from actors.engine.demo.render import render, scene_tensors
from actors.engine.demo.scenes import heldout_scenes, is_held_out, training_scene
from cluster.pab import PabConfig

WINDOW = (100.0, 800.0)
PABS = {
    "pab246": PabConfig(spatial=2, temporal=4, cross=6, timesteps=WINDOW),
    "pab357": PabConfig(spatial=3, temporal=5, cross=7, timesteps=WINDOW),
    "pab579": PabConfig(spatial=5, temporal=7, cross=9, timesteps=WINDOW),
}


@pytest.fixture
def every_core() -> Iterator[None]:
    """The bundled model is large enough for more than one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or threads)
    yield
    torch.set_num_threads(threads)


def test_the_judge_reads_true_videos_rightly():
    scenes = heldout_scenes(80)
    judged = score([read_video(video) for video in render(scene_tensors(scenes), 64, 96)], scenes)
    assert (judged.colour, judged.direction) == (1.0, 1.0)


def test_the_judge_does_not_see_what_is_not_there():
    still = torch.zeros(16, 3, 64, 64)
    assert read_video(still).colour is None
    assert read_video(still).direction is None


def test_no_training_scene_holds_a_held_out_combination():
    import random

    rng = random.Random(0)
    for _ in range(5000):
        scene = training_scene(rng)
        for mover in (scene.first, scene.second):
            assert mover is None or not is_held_out(mover.colour, mover.kind, mover.direction, scene.background)
    assert all(
        is_held_out(scene.first.colour, scene.first.kind, scene.first.direction, scene.background)
        for scene in heldout_scenes(80)
    )


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_held_out_prompts_come_out_right_and_pab_keeps_them_so(demo_model, every_core):
    """A few of them; `pabcast bench quality` makes as many as one likes, 64 for the README's table."""
    rows = {row.name: row for row in measure(Engine.load(str(demo_model)), PABS, Settings(num_prompts=8, steps=30))}
    off, pab246 = rows["off"], rows["pab246"]
    assert off.colour >= 0.90
    assert off.direction >= 0.85
    assert pab246.psnr_db >= 25
    assert pab246.psnr_db > rows["pab357"].psnr_db > rows["pab579"].psnr_db
    assert abs(pab246.colour - off.colour) <= 0.03
    assert abs(pab246.direction - off.direction) <= 0.03
