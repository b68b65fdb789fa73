import dataclasses

import pytest

from cluster.errors import RequestError
from cluster.model import ModelNumbers
from cluster.shape import Shape
from cluster.vae import VaeNumbers

NUMBERS = ModelNumbers(
    num_layers=4,
    hidden_size=256,
    num_heads=4,
    patch_size=2,
    vae=VaeNumbers(channels=(128, 256, 512, 512)),
    latent_channels=4,
    num_frames=16,
    min_edge=64,
    max_edge=256,
    native_edge=64,
    max_prompt_bytes=4096,
)


@pytest.mark.parametrize(
    ("height", "width", "frames", "message"),
    [
        (100, 64, 16, "height 100 is not divisible by 16; the nearest below is 96"),
        (64, 70, 16, "width 70 is not divisible by 16; the nearest below is 64"),
        (64, 7680, 16, "width 7680 is outside 64 to 256"),
        (0, 64, 16, "height 0 is outside 64 to 256"),
        (-64, 64, 16, "height -64 is outside"),
        (64, 64, 0, "num_frames is 0; the model makes videos of 16 frames"),
    ],
)
def test_a_shape_the_model_cannot_make_is_refused_with_the_arithmetic(height, width, frames, message):
    with pytest.raises(RequestError, match=message):
        NUMBERS.check(Shape(height=height, width=width, num_frames=frames))


def test_tokens_are_counted_from_patches_and_frames():
    shape = Shape(height=64, width=96, num_frames=16)
    NUMBERS.check(shape)
    assert NUMBERS.num_patches(shape) == 4 * 6
    assert NUMBERS.num_tokens(shape) == 4 * 6 * 16


def test_every_rank_of_a_legal_width_holds_a_frame_and_a_patch():
    assert NUMBERS.legal_widths() == tuple(range(1, 17))
    assert dataclasses.replace(NUMBERS, num_frames=3).legal_widths() == (1, 2, 3)
    narrow = dataclasses.replace(NUMBERS, min_edge=16)
    assert narrow.legal_widths(Shape(height=16, width=32, num_frames=16)) == (1, 2)
