"""A job's progress: a live line and its pool on a terminal, nothing but the start and the end elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType

    from actors.status import PoolStatus
    from pipelines.ledger import LedgerCounts

RATE_OVER_S = 60.0
BAR_COLUMNS = 24
_AROUND_COLUMNS = 3
"""The spinner and the spaces beside the bar."""
_AROUND_ROWS = 2
"""The line above the pool, and the one that the cursor goes to when the display ends."""
_REFRESH_HZ = 4
_LEAST_WANTED = ("skipped", "a minute", "workers", "left", "failed")
"""Ends of the parts that a narrow terminal does without, in this order."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Where a job stands."""

    counts: "LedgerCounts"
    pool: "PoolStatus | None" = None
    """None while there is none."""

    @property
    def done(self) -> int:
        """Samples that need nothing more."""
        return self.counts.skipped + self.counts.committed + self.counts.failed


class Pace:
    """Videos a second over the last minute, from the counts that it is told."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def tell(self, made: int, now_s: float) -> None:
        """At `now_s`, so many videos had been made."""
        self._marks.append((now_s, made))
        while len(self._marks) > 2 and now_s - self._marks[1][0] >= RATE_OVER_S:
            self._marks.pop(0)

    @property
    def per_second(self) -> float:
        """Videos a second; 0 while nothing can be said."""
        if len(self._marks) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


def spell_progress(snapshot: Snapshot, per_second: float, columns: int = 1000) -> str:
    """The line: videos done, failed and skipped, rate, time left, busy gangs; without the parts that do not fit."""
    counts, pool = snapshot.counts, snapshot.pool
    parts = [f"{snapshot.done} of {counts.requested} videos"]
    parts += [f"{count} {what}" for count, what in ((counts.failed, "failed"), (counts.skipped, "skipped")) if count]
    if per_second > 0:
        parts += [f"{per_second * 60:.1f} a minute", f"{_clock(counts.open / per_second)} left"]
    if pool is None or pool.phase == "starting":
        parts.append("reading the prompts" if not counts.open else "starting the workers")
    else:
        gangs = "gang" if pool.busy_gangs == 1 else "gangs"
        parts.append(f"{pool.busy_gangs} {gangs} on {pool.busy_workers} of {pool.workers} workers")
    for end in _LEAST_WANTED:
        if len(" · ".join(parts)) > columns:
            parts = [part for part in parts if not part.endswith(end)]
    return " · ".join(parts)


class Progress:
    """Shows snapshots as they come; `say` is for whole lines. Use it in a `with`."""

    def __init__(self, say: Callable[[str], None], *, live: bool | None = None) -> None:
        self._say = say
        self._live = sys.stderr.isatty() if live is None else live
        self._pace = Pace()
        self._pool: PoolStatus | None = None

    def __enter__(self) -> "Progress":
        if self._live:
            self._prepare()
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._display.stop()

    def say(self, line: str) -> None:
        """Print a line above the live ones."""
        if self._live:
            self._display.stop()
        self._say(line)
        if self._live:
            self._start()

    def show(self, snapshot: Snapshot) -> None:
        """Show where the job stands."""
        self._pace.tell(snapshot.counts.committed + snapshot.counts.failed, time.monotonic())
        if self._live:
            room = self._console.width - _AROUND_COLUMNS
            line = spell_progress(snapshot, self._pace.per_second, room - 1)
            self._bar.bar_width = min(BAR_COLUMNS, room - len(line))
            total = snapshot.counts.requested or None
            self._line.update(self._task, description=line, completed=snapshot.done, total=total)
            self._pool = snapshot.pool

    def _prepare(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Line

        self._console = Console(stderr=True)
        self._bar = BarColumn(bar_width=BAR_COLUMNS)
        columns = (SpinnerColumn(), self._bar, TextColumn("{task.description}", markup=False))
        self._line = Line(*columns, console=self._console)
        self._task = self._line.add_task("starting", total=None)

    def _start(self) -> None:
        from rich.live import Live

        # A display that starts again would wipe as many lines as it had, and with them what was said since.
        self._display = Live(
            get_renderable=self._picture, console=self._console, transient=True, refresh_per_second=_REFRESH_HZ
        )
        self._display.start()

    def _picture(self) -> "RenderableType":
        from rich.console import Group

        from pipelines.pool_table import pool_table

        line, pool = self._line.get_renderable(), self._pool
        if pool is None:
            return line
        return Group(line, pool_table(pool, self._console.width, self._console.height - _AROUND_ROWS))


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, done: int | None = None) -> None:
        """So many are done now; by default one more than before."""


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Advance]:
    """A bar on a terminal's stderr, silent elsewhere; it has no end where `total` is None."""
    from rich.console import Console
    from rich.progress import Progress as Display

    console = Console(stderr=True)
    with Display(console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task(what, total=total)

        def advance(done: int | None = None) -> None:
            display.update(task, completed=done, advance=1 if done is None else None)

        yield advance


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
