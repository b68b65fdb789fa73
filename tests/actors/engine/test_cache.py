"""The cache, as blocks use it."""

from collections.abc import Callable

import pytest
import torch

from actors.engine import BroadcastCache, BroadcastSchedule
from actors.engine.blocks import Blocks
from actors.engine.cache import Place
from actors.engine.fp8 import Fp8Rows
from cluster.pab import Kind, PabConfig


def output(
    cache: BroadcastCache, kind: Kind, layer: int, step: int, compute: Callable[[], torch.Tensor]
) -> torch.Tensor:
    """The output of a block that is one site."""
    return Blocks().run(lambda site: site(kind, compute), cache, Place(layer, step, (kind,)))


def test_a_broadcast_returns_what_was_computed_and_the_last_read_frees():
    cache = BroadcastCache(BroadcastSchedule.build(PabConfig(spatial=3), range(6, 0, -1)))
    computed = []

    def compute() -> torch.Tensor:
        computed.append(len(computed))
        return torch.full((2, 2), float(len(computed)))

    values = [output(cache, "spatial", 0, step, compute).mean().item() for step in range(6)]
    assert values == [1, 1, 1, 2, 2, 2]
    assert len(computed) == 2
    assert cache.bytes == 0
    assert cache.peak_bytes == 16


def test_sites_do_not_share_an_output():
    cache = BroadcastCache(BroadcastSchedule.build(PabConfig(spatial=2, temporal=2), [2, 1]))
    for layer in (0, 1):
        output(cache, "spatial", layer, 0, lambda layer=layer: torch.full((1,), float(layer)))
    output(cache, "temporal", 0, 0, lambda: torch.full((1,), 9.0))
    read = [
        output(cache, kind, layer, 1, lambda: torch.zeros(0)).item()
        for kind, layer in (("spatial", 0), ("spatial", 1), ("temporal", 0))
    ]
    assert read == [0, 1, 9]


def test_outside_the_window_nothing_is_stored():
    cache = BroadcastCache(BroadcastSchedule.build(PabConfig(spatial=2, window=(0.5, 1.0)), range(8, 0, -1)))
    for step in range(3):
        output(cache, "spatial", 0, step, lambda: torch.ones(4))
    assert cache.bytes == cache.peak_bytes == 0


def test_in_8_bits_a_broadcast_is_close_to_what_was_computed_and_takes_a_quarter():
    schedule = BroadcastSchedule.build(PabConfig(spatial=2, cache_dtype="fp8"), [2, 1])
    cache, computed = BroadcastCache(schedule), torch.randn(2, 64, 256) * torch.logspace(-6, 6, 64)[:, None]
    computed[0, 0] = 0
    assert output(cache, "spatial", 0, 0, lambda: computed) is computed
    assert cache.bytes == 2 * 64 * (256 + 4)
    read = output(cache, "spatial", 0, 1, lambda: torch.zeros(0))
    assert read.dtype == computed.dtype
    largest = computed.abs().amax(dim=2, keepdim=True)
    assert ((read - computed).abs() <= computed.abs() / 16 + largest / 448 / 512).all()
    assert (read != computed).any()
    assert (read[0, 0] == 0).all()
    assert cache.bytes == 0


@pytest.mark.parametrize("largest", [1e-30, 1.0, 3e4])
def test_rows_of_any_size_come_back_from_8_bits_as_exactly_as_8_bits_allow(largest):
    x = largest * torch.randn(16, 64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    back = Fp8Rows.of(x).restore()
    assert back.dtype == torch.bfloat16
    # Half a step of E4M3's 3 bits of mantissa and of bfloat16's 8.
    assert ((back - x).float().abs() <= x.float().abs() * (2**-4 + 2**-9) + largest * 2**-17).all()
