"""The benchmarks of the pool itself; what they measure is for them to print."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.app import app
from pipelines.bench_pool import PoolLoad, PoolRow, write_prompts


def test_shares_and_rates_come_from_what_ended_while_it_was_measured() -> None:
    load = PoolLoad(workers=4, seconds=0.5, requests=100, measure_s=10)
    row = PoolRow(load=load, videos=76, measured_s=10, pool_mb=150, grown_mb=0.5, rows_read=99, rows_made=90)
    assert row.leases_per_s == 7.6
    assert row.busy_fraction == 0.95


def test_the_prompt_file_has_a_line_a_request(tmp_path: Path) -> None:
    write_prompts(tmp_path / "p.txt", 3)
    assert (tmp_path / "p.txt").read_text().splitlines() == ["prompt 0", "prompt 1", "prompt 2"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pool", "--workers", "0"], "--workers is 0; it must be above 0"),
        (["pool", "--seconds", "-1"], "--seconds is -1; it must be above 0"),
        (["reshape", "--rounds", "0"], "--rounds is 0; it must be 1 or more"),
        (["reshape", "--device", "tpu"], "--device is 'tpu'; auto, cpu or cuda is wanted"),
    ],
)
def test_what_cannot_be_measured_is_told(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", *words])
    assert sentence in str(result.exception)


@pytest.mark.slow
def test_a_small_pool_is_measured_and_a_long_queue_does_not_run_ahead() -> None:
    words = ["bench", "pool", "--workers", "4", "--seconds", "0.1", "--queue", "20000", "--measure", "4", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    phases = json.loads(result.stdout.splitlines()[-1])["phases"]
    assert [phase["rows"] for phase in phases][1] == 20000
    assert all(0 < phase["busy_fraction"] <= 1 for phase in phases)
    assert phases[1]["read_ahead"] < 10000


@pytest.mark.slow
def test_reshaping_is_measured_beside_new_workers() -> None:
    result = CliRunner().invoke(app, ["bench", "reshape", "--rounds", "2", "--json"])
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    assert list(said["reshape_s"]) == ["2", "4", "2 + 2", "1 + 1 + 1 + 1"]
    assert all(len(times) == 2 for times in said["reshape_s"].values())
    assert said["ratio"] > 1
