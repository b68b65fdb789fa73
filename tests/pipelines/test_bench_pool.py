"""`pabcast bench pool` and `reshape`: their arithmetic, and small ones for real; how fast it is, they print."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.errors import ConfigError
from pipelines.app import app
from pipelines.bench_pool import SIMULATED_BYTES, Measured, Moment, Phase, PoolBench


def phase(**fields: Any) -> Phase:
    """64 workers that made 1216 videos of half a second in ten seconds."""
    memory = {"pool": 140.0, "driver": 280.0, "submitters": 900.0}
    base: dict[str, Any] = {
        "workers": 64,
        "seconds": 0.5,
        "queue": 1_000_000,
        "begin": Moment(at_s=100.0, done=200, busy_s=50.0, memory_mb=memory),
        "end": Moment(at_s=110.0, done=1416, busy_s=680.4, memory_mb=memory),
        "most_ahead": 6000,
    }
    return Phase(**{**base, **fields})


def test_workers_are_busy_for_as_long_as_their_videos_take() -> None:
    assert phase().rate == pytest.approx(121.6)
    assert phase().busy == pytest.approx(0.95)
    assert phase().leased == pytest.approx(0.985)


def test_videos_that_take_no_time_keep_nobody_busy() -> None:
    assert phase(seconds=0.0).busy == 0
    assert phase(seconds=0.0).rate == pytest.approx(121.6)


def test_a_long_queue_is_compared_with_a_short_one() -> None:
    slower = phase(end=Moment(at_s=120.0, done=1416, busy_s=680.4, memory_mb={}))
    assert Measured(long=slower, short=phase(), rate=phase(), start_s=1, worker_mb=1).long_to_short == pytest.approx(
        0.5
    )


def test_a_queue_outlasts_its_phase() -> None:
    bench = PoolBench(workers=64, seconds=0.5, measure=30)
    assert bench.short_queue > 64 / 0.5 * 30
    assert bench.rate_queue == bench.queue == 1_000_000
    assert PoolBench(workers=4, seconds=0.5, queue=1000, measure=2).rate_queue > 1000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workers", "0"], "--workers is 0; it must be 1 or more"),
        (["--workers", "10000", "--seconds", "10"], "simulated workers of"),
        (["--seconds", "0"], "--seconds is 0; it must be more than 0"),
        (["--seconds", "nan"], "--seconds is nan"),
        (["--measure", "-1"], "--measure is -1; it must be more than 0"),
        (["--queue", "10"], "ask for more rows, or for less with --measure"),
    ],
)
def test_what_cannot_be_measured_is_told(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", "pool", *words])
    assert isinstance(result.exception, ConfigError)
    assert sentence in str(result.exception)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rounds", "0"], "--rounds is 0; it must be 1 or more"),
        (["--device", "tpu"], "--device is 'tpu'; auto, cpu or cuda is wanted"),
    ],
)
def test_reshaping_that_cannot_be_measured_is_told(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", "reshape", *words])
    assert sentence in str(result.exception)


def test_a_machine_holds_as_many_workers_as_its_memory() -> None:
    PoolBench(workers=4).check_room(4 * SIMULATED_BYTES)
    with pytest.raises(ConfigError, match="hold 3 simulated workers"):
        PoolBench(workers=4).check_room(4 * SIMULATED_BYTES - 1)


@pytest.mark.slow
def test_a_small_pool_is_measured_and_its_queues_are_left() -> None:
    words = ["bench", "pool", "--workers", "4", "--seconds", "0.5", "--measure", "2", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    long, short, rate = (said["phases"][name] for name in ("long", "short", "rate"))
    assert 0 < said["busy_fraction"] <= 1.3  # whole videos over two seconds
    assert long["queue"] == 1_000_000
    assert long["videos"] > 0
    assert long["most_rows_ahead"] < 10_000
    assert short["most_rows_ahead"] <= short["queue"] < 1000
    assert rate["leases_per_second"] > long["leases_per_second"]
    assert all(size["begin"] > 0 for size in long["memory_mb"].values())


@pytest.mark.slow
def test_reshaping_is_measured_beside_new_workers() -> None:
    result = CliRunner().invoke(app, ["bench", "reshape", "--rounds", "2", "--json"])
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    assert list(said["reshape_s"]) == ["2", "4", "2 + 2", "1 + 1 + 1 + 1"]
    assert all(len(times) == 2 for times in said["reshape_s"].values())
    assert said["ratio"] > 1
