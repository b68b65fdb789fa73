"""What is broadcast when the cache may hold only so much."""

import dataclasses
import itertools

import pytest

from cluster.cache_budget import plan_schedule
from cluster.errors import ConfigError
from cluster.forecast import forecast
from cluster.pab import MlpReuse, PabConfig
from cluster.shape import Shape
from tests.cluster.numbers import OPEN_SORA, WAN_1_3B

TIMES = tuple(range(1000, 0, -20))
SHAPE = Shape(height=480, width=848, num_frames=51)
PAB = PabConfig(spatial=2, temporal=4, cross=6, timesteps=(100, 800), mlp=MlpReuse(blocks=(0,), starts=(700,), steps=2))
WHOLE = plan_schedule(PAB, TIMES, OPEN_SORA, SHAPE)
HELD = forecast(OPEN_SORA, SHAPE, WHOLE, 1, element_bytes=2).cache_bytes


def broadcast(gb: float) -> set[str]:
    """The kinds that are broadcast within a budget."""
    schedule = plan_schedule(dataclasses.replace(PAB, cache_budget_gb=gb), TIMES, OPEN_SORA, SHAPE)
    assert forecast(OPEN_SORA, SHAPE, schedule, 1, element_bytes=2).cache_bytes <= gb * 1e9
    return {kind for kind, steps in schedule.computed.items() if steps < schedule.num_steps}


def test_without_a_budget_or_with_enough_everything_is_broadcast():
    assert (
        WHOLE.computed
        == plan_schedule(dataclasses.replace(PAB, cache_budget_gb=HELD / 1e9), TIMES, OPEN_SORA, SHAPE).computed
    )
    assert broadcast(HELD / 1e9) == {"spatial", "temporal", "cross", "mlp"}


def test_the_kinds_that_save_the_most_for_a_byte_come_first():
    kinds = [broadcast(HELD / 1e9 * share) for share in (0.95, 0.6, 0.3, 1e-6)]
    assert kinds[-1] == set()
    assert all(more >= fewer for more, fewer in itertools.pairwise(kinds))
    # A third of the cache is one kind's: temporal attention saves three steps of four, spatial one of two with more
    # work in each, and cross has less to save.
    assert len(kinds[2] - {"mlp"}) == 1
    assert "cross" not in kinds[2]


def test_8_bits_let_twice_as_much_in():
    half = dataclasses.replace(PAB, cache_budget_gb=0.55 * HELD / 1e9)
    kept = [
        sum(steps < 50 for steps in plan_schedule(pab, TIMES, OPEN_SORA, SHAPE).computed.values())
        for pab in (half, dataclasses.replace(half, cache_dtype="fp8"))
    ]
    assert kept[0] < kept[1] == 4


def test_a_kind_that_the_model_lacks_takes_nothing():
    pab = PabConfig(spatial=2, temporal=4, cross=6, timesteps=(100, 800), cache_budget_gb=1000)
    shape = Shape(height=480, width=832, num_frames=81)
    assert plan_schedule(pab, TIMES, WAN_1_3B, shape).computed["spatial"] < len(TIMES)


@pytest.mark.parametrize(
    "mlp", [MlpReuse(blocks=(), starts=(700,), steps=2), MlpReuse(blocks=(99,), starts=(700,), steps=2)]
)
def test_mlps_of_no_block_take_nothing(mlp):
    pab = PabConfig(spatial=2, mlp=mlp, cache_budget_gb=1000)
    assert plan_schedule(pab, TIMES, OPEN_SORA, SHAPE).computed["mlp"] == len(TIMES)


@pytest.mark.parametrize("gb", [0, -1, float("inf"), float("nan")])
def test_a_budget_that_is_none_is_refused(gb):
    with pytest.raises(ConfigError, match=r"pab.cache_budget_gb is .*; it must be more than 0, or null"):
        PabConfig(cache_budget_gb=gb)
