"""The line that a person watches, and the summary."""

import dataclasses
import re
import sys

import pytest

from pipelines.ledger import LedgerCounts
from pipelines.progress import Pace, Progress, Snapshot, counting, spell_progress
from pipelines.summary import Failure, JobSummary
from tests.pool_status import QUIET

BUSY = dataclasses.replace(QUIET, busy_gangs=2, busy_workers=3, gangs=((2, True), (1, True), (1, False)), widened=1)


def counts(**numbers: int) -> LedgerCounts:
    return LedgerCounts(**{"requested": 12, "skipped": 0, "committed": 0, "failed": 0, **numbers})


def test_the_line_tells_counts_rate_time_left_and_gangs() -> None:
    snapshot = Snapshot(counts=counts(skipped=2, committed=4, failed=1), pool=BUSY)
    assert spell_progress(snapshot, per_second=0.1) == (
        "7 of 12 videos · 1 failed · 2 skipped · 6.0 a minute · 0:50 left · 2 gangs on 3 of 4 workers"
    )


def test_before_there_is_a_pool_the_line_says_what_is_waited_for() -> None:
    assert spell_progress(Snapshot(counts=counts()), per_second=0).endswith("starting the workers")
    assert spell_progress(Snapshot(counts=counts(requested=0)), per_second=0).endswith("reading the prompts")
    starting = Snapshot(counts=counts(), pool=dataclasses.replace(QUIET, phase="starting"))
    assert spell_progress(starting, per_second=0).endswith("starting the workers")


def test_the_pace_is_that_of_the_last_minute() -> None:
    pace = Pace()
    assert pace.per_second == 0
    for second in range(0, 300, 10):
        pace.tell(second * (2 if second > 200 else 1), second)
    assert pace.per_second > 1


def test_off_a_terminal_only_whole_lines_are_printed() -> None:
    lines: list[str] = []
    with Progress(lines.append, live=False) as progress:
        progress.show(Snapshot(counts=counts(committed=1), pool=BUSY))
        progress.say("started")
    assert lines == ["started"]


def test_off_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(print, live=False) as progress:
        progress.show(Snapshot(counts=counts(committed=1), pool=BUSY))
    assert capsys.readouterr() == ("", "")


def test_a_live_line_and_the_pool_show_where_the_job_stands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress(print, live=True) as progress:
        progress.show(Snapshot(counts=counts(committed=1), pool=BUSY))
    shown = capsys.readouterr()
    assert "1 of 12 videos" in shown.err
    assert "width   online  offline   busy   idle" in re.sub(r"\x1b\[[0-9;]*m", "", shown.err)
    assert "1 widened" in shown.err
    assert shown.out == ""


def test_a_narrow_terminal_shows_whole_parts_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    snapshot = Snapshot(counts=counts(skipped=2, committed=4, failed=1), pool=BUSY)
    line = "7 of 12 videos · 1 failed · 0:50 left · 2 gangs on 3 of 4 workers"
    assert spell_progress(snapshot, 0.1, 76) == line
    with Progress(lambda said: print(said, file=sys.stderr), live=True) as progress:
        progress.show(snapshot)
        progress.say("stopping; what is committed stays")
    shown = capsys.readouterr().err
    assert "…" not in shown
    assert "2 gangs on 3 of 4 workers" in shown
    # On a line of its own: the live ones are wiped before it, and it is not wiped when they come again.
    before, after = shown.replace("\r", "").split("stopping; what is committed stays\n")
    assert before.endswith("\x1b[2K")
    assert not after.removeprefix("\x1b[?25l").startswith("\x1b[2K")


def test_a_bar_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("steps", 3) as advance:
        advance()
        advance(3)
    assert "steps" not in capsys.readouterr().err


def test_the_summary_lists_ten_failures_and_the_slowest_part() -> None:
    failures = tuple(Failure(source=f"p.jsonl:{line}", id="", reason="the prompt is empty") for line in range(11))
    summary = JobSummary(
        requested=14,
        skipped=1,
        committed=2,
        failed=11,
        seconds=12.5,
        gang_busy_fraction=0.5,
        uri="/out",
        rows=3,
        failures=failures,
        parts={"queue": 90.0, "denoise": 8.0, "encode": 1.0},
    )
    text = summary.spell()
    assert "the slowest part was denoise, 4.0 s a video" in text
    assert text.count("the prompt is empty") == 10
    assert "and 1 more, in /out/_pabcast/failures" in text
    assert summary.exit_code == 3
    assert (summary.open, summary.contract()["failures_left_out"]) == (0, 0)
    assert dataclasses.replace(summary, requested=60, failed=40).contract()["failures_left_out"] == 29
    assert dataclasses.replace(summary, requested=60, failed=40).open == 17
    assert summary.contract().keys() >= {
        "requested",
        "skipped",
        "committed",
        "failed",
        "seconds",
        "gang_busy_fraction",
        "uri",
    }


@pytest.mark.parametrize(("rows", "which"), [(12, "all"), (13, "some")])
def test_the_summary_says_whether_the_picture_shows_all(rows: int, which: str) -> None:
    summary = JobSummary(
        requested=rows,
        skipped=rows,
        committed=0,
        failed=0,
        seconds=1.0,
        gang_busy_fraction=0.0,
        uri="out",
        rows=rows,
        picture="sheet.png",
    )
    assert summary.spell().splitlines()[-1] == f"{rows} videos in out; {which} of them in sheet.png"
