"""The figures of a dataset, against sums by hand."""

import time
from dataclasses import fields
from pathlib import Path

import pytest

from pipelines.commits import CommittedSample
from pipelines.making import Making
from pipelines.report.dataset import Dataset
from pipelines.report.figures import kinships, shares, totals
from pipelines.report.numbers import Numbers
from pipelines.report.timeline import Timeline
from pipelines.store import LocalStore
from tests.pipelines.report.datasets import BEGAN, fill, making, many_rows

OFF = {"spatial_computed": 30, "temporal_computed": 30, "cross_computed": 30}


def numbers_of(store: LocalStore) -> Numbers:
    return Numbers.of(Dataset.open(store.uri))


def test_a_marker_has_a_column_for_all_of_a_making() -> None:
    columns = {field.name: field.default for field in fields(CommittedSample)}
    assert {field.name: field.default for field in fields(Making)}.items() <= columns.items()


def test_totals_are_sums_over_the_videos(folder: LocalStore) -> None:
    fill(
        folder,
        {"seconds": 10.0, "start": 0.0},
        {"seconds": 20.0, "start": 5.0, "gang_width": 2, "making": making(5, bytes_sent=300, bytes_saved=100)},
    )
    sums = totals(numbers_of(folder))
    assert (sums.videos, sums.played_s, sums.worker_s) == (2, 4.0, 50.0)
    assert sums.active_s == pytest.approx(25.0)
    assert sums.videos_per_hour == pytest.approx(2 / 25 * 3600)
    assert sums.workers_busy == pytest.approx(2.0)
    assert (sums.bytes_sent, sums.bytes_saved, sums.saved_share) == (300, 100, 0.25)
    assert (sums.began, sums.ended) == (pytest.approx(BEGAN), pytest.approx(BEGAN + 25))
    assert sums.file_bytes == sum(item.size for item in folder.list("videos/"))


def test_a_pause_between_two_runs_is_no_working_time(folder: LocalStore) -> None:
    fill(folder, {"seconds": 10.0}, {"seconds": 10.0, "start": 40.0}, {"seconds": 10.0, "start": 90_000.0})
    numbers = numbers_of(folder)
    assert totals(numbers).active_s == pytest.approx(60.0), "0 to 50, and 10 a day later"
    line = Timeline.of(numbers)
    assert line is not None
    assert len(line.pauses) == 1
    assert [tick.text for tick in line.ticks][-1] == "60 s"
    assert max(box.x + box.width for box in line.boxes) == pytest.approx(100, abs=0.01)


def test_kins_are_apart_by_shape_steps_pab_and_width(folder: LocalStore) -> None:
    rows = [{"seconds": float(second)} for second in (4, 1, 3, 2, 5)]
    fill(folder, *rows, {"gang_width": 2, "seconds": 9.0}, {"width": 96, "seconds": 7.0})
    small, pair, wide = kinships(numbers_of(folder))
    assert (small.videos, small.least_s, small.lower_s, small.median_s, small.upper_s, small.most_s) == (
        5,
        1,
        2,
        3,
        4,
        5,
    )
    assert (pair.gang_width, pair.median_s) == (2, 9.0)
    assert (wide.width, wide.height, wide.median_s) == (96, 64, 7.0)


def test_shares_are_of_the_steps_that_were_recorded(folder: LocalStore) -> None:
    fill(folder, {}, {"making": making(0, **OFF)}, {"making": Making()})
    found = {share.kind: share for share in shares(numbers_of(folder))}
    assert set(found) == {"spatial", "temporal", "cross"}, "MLPs computed at every step"
    assert {kind: share.videos for kind, share in found.items()} == dict.fromkeys(found, 2)
    assert found["temporal"].broadcast == pytest.approx(1 - 44 / 60)


def test_what_is_the_same_is_told_of_a_run_of_an_earlier_version(folder: LocalStore) -> None:
    fill(folder, {"making": Making(), "seconds": 3.0}, {"making": Making(), "seconds": 4.0})
    numbers = numbers_of(folder)
    assert not numbers.is_timed.any()
    assert shares(numbers) == []
    assert totals(numbers).saved_share is None
    line = Timeline.of(numbers)
    assert line is not None
    assert (line.untimed, len(line.boxes)) == (2, 2)


def test_a_hundred_thousand_rows_take_seconds(tmp_path: Path) -> None:
    many_rows(tmp_path / "set", 100_000)
    begun = time.process_time()
    numbers = numbers_of(LocalStore(tmp_path / "set"))
    sums, kins, line = totals(numbers), kinships(numbers), Timeline.of(numbers)
    assert time.process_time() - begun < 10
    assert sums.videos == sum(kin.videos for kin in kins) == 100_000
    assert len(kins) == 8
    assert line is not None
    assert line.is_summed
    assert len(line.boxes) < 1000
    busy = sum(box.width * box.height for box in line.boxes) / 100
    assert busy == pytest.approx(sums.workers_busy, rel=1e-3), "the picture has the area of the worker time"
