"""The pool beneath the line that a person watches."""

import dataclasses
import io

import pytest
from rich.console import Console

from actors.status import DomainStatus, LineStatus
from pipelines.pool_table import TABLE_COLUMNS, pool_table, spell_changes, spell_domains
from tests.pool_status import QUIET

BUSY = dataclasses.replace(
    QUIET,
    gangs=((2, True), (1, True), (1, False), (1, True)),
    lines=(
        LineStatus(priority="online", width=2, waiting=1),
        LineStatus(priority="offline", width=2, waiting=13),
        LineStatus(priority="offline", width=4, waiting=3),
    ),
    domains=(
        DomainStatus(name=0, workers=4, phase="ready", market="any"),
        DomainStatus(name=1, workers=4, phase="ready", market="any"),
        DomainStatus(name=2, workers=4, phase="pending", market="on_demand"),
    ),
    reshaped=2,
    resumed=1,
    retries={"rank": 2, "drain": 1, "node": 0},
)


def shown(columns: int = 80, rows: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, height=rows)
    with console.capture() as capture:
        console.print(pool_table(BUSY, columns, rows))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_table_has_a_row_for_every_width_then_domains_then_changes() -> None:
    assert shown() == [
        "       waiting  waiting  gangs  gangs",
        "width   online  offline   busy   idle",
        "    1        ·        ·      2      1",
        "    2        1       13      1      ·",
        "    4        ·        3      ·      ·",
        "domains: 1 pending (on-demand) · 2 ready",
        "2 reshaped · 1 resumed · 3 retries (1 drain, 2 rank)",
    ]


def test_a_pool_without_gangs_or_requests_says_nothing() -> None:
    assert (spell_domains(QUIET), spell_changes(QUIET)) == ("", "")
    with Console(file=io.StringIO()).capture() as capture:
        Console(file=io.StringIO()).print(pool_table(QUIET))
    assert capture.get().strip() == ""


def test_what_happened_once_is_one() -> None:
    assert spell_changes(dataclasses.replace(QUIET, widened=1, retries={"node": 1})) == "1 widened · 1 retry (1 node)"


@pytest.mark.parametrize("columns", range(1, 60))
def test_a_narrow_terminal_shows_whole_parts_only(columns: int) -> None:
    lines = shown(columns)
    assert all(len(line) <= columns for line in lines)
    assert not any("…" in line for line in lines)
    assert ("width   online  offline   busy   idle" in lines) == (columns >= TABLE_COLUMNS)
    whole = shown()
    assert all(any(full == line or full.startswith(f"{line} · ") for full in whole) for line in lines)


@pytest.mark.parametrize(("rows", "lines"), [(0, 0), (1, 1), (2, 2), (4, 2), (5, 5), (6, 6), (7, 7)])
def test_a_low_terminal_is_not_overflowed(rows: int, lines: int) -> None:
    console = Console(file=io.StringIO(), width=80)
    assert sum(1 for line in console.render_lines(pool_table(BUSY, 80, rows), pad=False) if line) == lines
