"""Seats for gangs: which rows of a picture, each a worker, a video's gang takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

_OVERLAP_S = 0.3
"""How long a video may seem to run when its worker has the next one already: what frames take to the submitter."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A video on one gang."""

    number: int
    width: int
    start_s: float
    end_s: float


def seat_bars(bars: Sequence[Bar], workers: int) -> list[tuple[Bar, tuple[int, ...]]]:
    """Rows for each bar: those that its video has already, then free ones side by side where there are.

    They stand for workers; which worker it was, nobody tells.
    """
    free_s = [0.0] * workers
    owner: list[int | None] = [None] * workers
    seated = []
    for bar in sorted(bars, key=lambda bar: (bar.start_s, bar.number)):
        own = [row for row in range(workers) if owner[row] == bar.number]
        rows = min(_choices(bar, own, free_s), key=lambda rows: _cost(rows, bar, own, free_s))
        for row in rows:
            free_s[row], owner[row] = bar.end_s, bar.number
        seated.append((bar, rows))
    return seated


def runs_of(rows: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(first, count) of rows side by side."""
    for _, run in groupby(enumerate(rows), key=lambda pair: pair[1] - pair[0]):
        together = [row for _, row in run]
        yield together[0], len(together)


def _choices(bar: Bar, own: list[int], free_s: list[float]) -> Iterator[tuple[int, ...]]:
    workers = len(free_s)
    for first in range(workers - bar.width + 1):
        yield tuple(range(first, first + bar.width))
    soonest = sorted(range(workers), key=lambda row: (row not in own, free_s[row]))
    yield tuple(sorted(soonest[: bar.width]))


def _cost(rows: tuple[int, ...], bar: Bar, own: list[int], free_s: list[float]) -> tuple[float, int, int, int]:
    """How much it overlaps others, how few of its own rows it keeps, how scattered it lies, how far down."""
    overlap = max((free_s[row] - bar.start_s for row in rows if row not in own), default=0.0)
    kept = len(set(rows) & set(own))
    return max(overlap - _OVERLAP_S, 0.0), -kept, rows[-1] - rows[0], rows[0]
