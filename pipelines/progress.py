"""A job's progress: one live line on a terminal, nothing but the start and the end elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipelines.ledger import LedgerCounts

RATE_OVER_S = 60.0
BAR_COLUMNS = 24
_AROUND_COLUMNS = 3
"""The spinner and the spaces beside the bar."""
_LEAST_WANTED = ("skipped", "a minute", "workers", "left", "failed")
"""Ends of the parts that a narrow terminal does without, in this order."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Where a job stands."""

    counts: "LedgerCounts"
    busy_gangs: int | None = None
    """None while there is no pool."""
    busy_workers: int = 0
    workers: int = 0

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
    counts = snapshot.counts
    parts = [f"{snapshot.done} of {counts.requested} videos"]
    parts += [f"{count} {what}" for count, what in ((counts.failed, "failed"), (counts.skipped, "skipped")) if count]
    if per_second > 0:
        parts += [f"{per_second * 60:.1f} a minute", f"{_clock(counts.open / per_second)} left"]
    if snapshot.busy_gangs is None:
        parts.append("reading the prompts" if not counts.open else "starting the workers")
    else:
        gangs = "gang" if snapshot.busy_gangs == 1 else "gangs"
        parts.append(f"{snapshot.busy_gangs} {gangs} on {snapshot.busy_workers} of {snapshot.workers} workers")
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

    def __enter__(self) -> "Progress":
        if self._live:
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._display.stop()

    def say(self, line: str) -> None:
        """Print a line above the live one."""
        if self._live:
            self._display.stop()
        self._say(line)
        if self._live:
            self._display.start()

    def show(self, snapshot: Snapshot) -> None:
        """Show where the job stands."""
        self._pace.tell(snapshot.counts.committed + snapshot.counts.failed, time.monotonic())
        if self._live:
            room = self._display.console.width - _AROUND_COLUMNS
            line = spell_progress(snapshot, self._pace.per_second, room - 1)
            self._bar.bar_width = min(BAR_COLUMNS, room - len(line))
            self._display.update(
                self._task, description=line, completed=snapshot.done, total=snapshot.counts.requested or None
            )

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Display

        self._bar = BarColumn(bar_width=BAR_COLUMNS)
        columns = (SpinnerColumn(), self._bar, TextColumn("{task.description}", markup=False))
        self._display = Display(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4)
        self._task = self._display.add_task("starting", total=None)
        self._display.start()


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, done: int | None = None) -> None:
        """So many are done now; by default one more than before."""


@contextmanager
def counting(what: str, total: int) -> Iterator[Advance]:
    """A bar on a terminal's stderr, silent elsewhere."""
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
