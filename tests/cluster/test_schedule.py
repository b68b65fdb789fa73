import pytest

from cluster.errors import ConfigError
from cluster.pab import MlpReuse, PabConfig
from cluster.schedule import BroadcastSchedule

TRAILING_30 = [round(1000 - i * 1000 / 30) - 1 for i in range(30)]


def open_sora_timesteps(ratio: float = 4.826) -> list[float]:
    """Open-Sora 1.2's sampler at 848x480x51 (facts of arXiv 2408.12588's authors' code)."""
    return [1000 * ratio * u / (1 + (ratio - 1) * u) for u in (1 - i / 30 for i in range(30))]


def test_the_authors_open_sora_schedule_is_reproduced():
    pab = PabConfig(spatial=2, temporal=4, cross=6, timesteps=(450, 930))
    computed = BroadcastSchedule.build(pab, open_sora_timesteps()).computed
    assert (computed["spatial"], computed["temporal"], computed["cross"]) == (21, 17, 15)


def test_the_phase_is_anchored_to_the_first_step_and_not_to_the_window():
    pab = PabConfig(spatial=3, window=(0.4, 1.0))
    schedule = BroadcastSchedule.build(pab, range(1000, 0, -100))
    assert schedule.table["spatial"] == (True, True, True, True, False, False, True, False, False, True)


def test_an_output_computed_before_the_window_is_read_inside_it():
    schedule = BroadcastSchedule.build(PabConfig(spatial=3, window=(0.4, 1.0)), range(1000, 0, -100))
    assert schedule.stores("spatial", 3)
    assert not schedule.frees("spatial", 4)
    assert schedule.frees("spatial", 5)


def test_the_window_in_timesteps_is_open_at_both_ends():
    schedule = BroadcastSchedule.build(PabConfig(spatial=9, timesteps=(100, 800)), [900, 800, 700, 400, 100, 50])
    assert schedule.table["spatial"] == (True, True, False, False, True, True)


@pytest.mark.parametrize("pab", [PabConfig(), PabConfig(timesteps=(100, 800)), PabConfig(window=(0.1, 0.9))])
def test_range_one_computes_everything_and_stores_nothing(pab):
    schedule = BroadcastSchedule.build(pab, TRAILING_30)
    assert all(all(row) for row in schedule.table.values())
    assert not any(schedule.stores(kind, step) for kind in schedule.table for step in range(30))


@pytest.mark.parametrize("range_", [2, 3, 4, 6, 9, 40])
@pytest.mark.parametrize("window", [(0.0, 1.0), (0.15, 0.85), (0.33, 0.34)])
def test_every_read_follows_a_store_and_the_last_one_frees(range_, window):
    schedule = BroadcastSchedule.build(PabConfig(spatial=range_, window=window), TRAILING_30)
    held = False
    for step in range(30):
        if schedule.computes("spatial", step):
            assert not held, "a compute would overwrite what is still to be read"
            held = schedule.stores("spatial", step)
        else:
            assert held
            held = not schedule.frees("spatial", step)
    assert not held, "something outlives the run"


def test_mlp_reuse_starts_at_the_first_step_at_or_below_each_start():
    reuse = MlpReuse(blocks=(0, 1), starts=(725, 405), steps=2)
    schedule = BroadcastSchedule.build(PabConfig(mlp=reuse), [900, 800, 700, 600, 500, 400, 300, 200])
    assert schedule.table["mlp"] == (True, True, True, False, False, True, False, False)
    assert schedule.computes("mlp", 3, block=2), "blocks that are not listed compute always"
    assert not schedule.computes("mlp", 3, block=1)
    assert schedule.computed["mlp"] == 4


def test_full_steps_are_those_where_everything_computes():
    schedule = BroadcastSchedule.build(PabConfig(spatial=2, temporal=3), range(12, 0, -1))
    assert schedule.full_steps == (0, 6)


def test_an_empty_run_is_refused():
    with pytest.raises(ConfigError, match="at least one step"):
        BroadcastSchedule.build(PabConfig(), [])


def test_snapshot_steps_are_full_steps_that_far_apart():
    schedule = BroadcastSchedule.build(PabConfig(spatial=2, temporal=4, cross=6, window=(0.2, 0.8)), range(30, 0, -1))
    assert schedule.full_steps == (0, 1, 2, 3, 4, 5, 12, 24, 25, 26, 27, 28, 29)
    assert schedule.snapshot_steps(4) == (4, 12, 24, 28)
    assert schedule.snapshot_steps(1) == schedule.full_steps[1:]
