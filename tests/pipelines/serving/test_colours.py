"""What latents look like, learned from videos."""

from pathlib import Path

import numpy as np
import torch

from actors.engine import Engine, RunOptions, VideoRequest
from pipelines.serving.colours import LatentColours

RED, BLUE = "a red circle moving left over a black background", "a blue square moving down over a white background"


def test_a_linear_decoder_is_learned_exactly_and_nothing_is_shown_before() -> None:
    draw = np.random.default_rng(1)
    latents = draw.normal(size=(1, 3, 2, 8, 6)).astype(np.float32)
    decoder = draw.uniform(-20, 20, size=(3, 3))
    pixels = 128 + np.einsum("chw,cd->hwd", latents[0, :, 0], decoder)
    frames = pixels.clip(0, 255).round().astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)[None]
    colours = LatentColours()
    assert colours.picture(latents[0, :, 0]) is None
    colours.learn(latents, frames)
    picture = colours.picture(latents[0, :, 0])
    assert picture is not None
    assert np.abs(picture.astype(int) - frames[0, ::4, ::4].astype(int)).max() <= 2
    assert colours.picture(np.zeros((4, 8, 6), np.float32)) is None, "latents of another model"


def test_the_demo_models_latents_look_like_its_videos(demo_model: Path) -> None:
    torch.set_num_threads(1)
    engine, colours = Engine.load(str(demo_model)), LatentColours()
    for prompt in (RED, BLUE):
        request = VideoRequest(
            prompt=prompt,
            height=64,
            width=64,
            num_frames=16,
            steps=8,
            guidance_scale=4.0,
            model=engine.card.path,
            model_revision=engine.card.revision,
            seed=3,
        )
        output = engine.generate(request, options=RunOptions(return_latents=True))
        assert output.latents is not None
        colours.learn(output.latents, output.frames)
        picture = colours.picture(output.latents[0, :, 0])
    assert picture is not None
    assert picture.shape == (8, 8, 3)
    decoded = output.frames[0].reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
    assert np.abs(picture - decoded).mean() < 12
    assert np.corrcoef(picture.ravel(), decoded.ravel())[0, 1] > 0.9
