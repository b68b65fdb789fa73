"""The decoder's share of a rank, and what it costs, from closed forms."""

import dataclasses

import pytest

from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.vae import VaeNumbers
from cluster.workload import Workload
from tests.cluster.numbers import COGVIDEOX_5B, OPEN_SORA, WAN_1_3B, WAN_SHAPE

LATTE = VaeNumbers(channels=(128, 256, 512, 512))
OPEN_SORA_PLAN = dataclasses.replace(LATTE, frame_group=65, latent_group=17, tile_frames=17)
OPEN_SORA_PLAN_221 = dataclasses.replace(OPEN_SORA_PLAN, frame_group=221, latent_group=56)
PIXELS = 60 * 106


@pytest.mark.parametrize(
    ("vae", "latent_frames", "shares"),
    [
        (LATTE, 16, {1: 16, 3: 6, 16: 1}),
        (OPEN_SORA.vae, 15, {1: 15, 2: 10, 3: 5, 4: 5, 15: 5}),
        (OPEN_SORA_PLAN, 17, {1: 17, 4: 17}),
        (OPEN_SORA_PLAN_221, 56, {1: 56, 2: 33, 3: 33, 4: 17, 8: 17}),
        (COGVIDEOX_5B.vae, 13, {1: 13, 2: 7, 3: 5, 4: 5, 6: 3, 8: 3}),
        (COGVIDEOX_5B.vae, 1, {1: 1, 4: 1}),
        (WAN_1_3B.vae, 21, {1: 21, 2: 12, 4: 7, 32: 2}),
        (WAN_1_3B.vae, 1, {1: 1, 4: 1}),
    ],
)
def test_rank_0_decodes_its_share_of_whole_groups(vae, latent_frames, shares):
    assert {width: vae.rank_frames(latent_frames, width) for width in shares} == shares


def test_a_group_costs_as_many_images_as_it_has_frames():
    image = LATTE.decode_flops(PIXELS, 1)
    assert OPEN_SORA.vae.decode_flops(PIXELS, 5) == 17 * image
    assert OPEN_SORA.vae.decode_flops(PIXELS, 15) == 51 * image
    assert OPEN_SORA_PLAN.decode_flops(PIXELS, 17) == 65 * image


def test_images_are_held_as_many_as_a_call_takes():
    one = LATTE.peak_elements(PIXELS, 1)
    assert [LATTE.peak_elements(PIXELS, frames) for frames in (2, 8, 16)] == [2 * one, 8 * one, 8 * one]
    assert [OPEN_SORA.vae.peak_elements(PIXELS, frames) for frames in (5, 15)] == [4 * one, 4 * one]


def test_a_vae_in_float32_takes_twice_as_much_of_its_own_and_no_more_of_the_rest():
    schedule = BroadcastSchedule.build(PabConfig(), [3, 2, 1])
    vae = dataclasses.replace(WAN_1_3B.vae, element_bytes=None)
    bfloat16 = dataclasses.replace(WAN_1_3B, vae=vae)
    whole, half = (
        Workload(numbers=numbers, shape=WAN_SHAPE, schedule=schedule).peak_bytes(4) for numbers in (WAN_1_3B, bfloat16)
    )
    decode = vae.peak_elements(60 * 104, vae.rank_frames(21, 4))
    assert whole - half == 2 * (vae.parameters + decode), "decoding is what takes the most memory on 4"
