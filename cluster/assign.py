"""Which waiting request starts on which gang, and which gangs dissolve to form another."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

BYPASS_LIMIT = 8
"""How many later requests may start before one that waits for a reshaping."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A request in the queue."""

    ticket: str
    width: int
    bypassed: int = 0
    """Requests that came later and started earlier."""


@dataclass(frozen=True, kw_only=True)
class IdleGang:
    """A gang that holds workers and has no request."""

    gang: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """A request that starts on a gang that exists (`gang`), or on a new one made of what `dissolve` and
    `free_workers` give."""

    ticket: str
    width: int
    gang: int | None = None
    dissolve: tuple[int, ...] = ()
    free_workers: int = 0
    """How many of the workers without a gang join the new one."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What to start now, and the queue that is left with its bypasses counted."""

    starts: tuple[Start, ...]
    queue: tuple[Waiting, ...]
    reason: str


def assign(
    queue: Iterable[Waiting],
    idle_gangs: Iterable[IdleGang],
    free_workers: int,
    *,
    bypass_limit: int = BYPASS_LIMIT,
) -> Assignment:
    """Decide what starts now; `queue` is in order of arrival.

    Forming a gang costs a fraction of a second, so requests that fit an idle gang go first, wherever they
    stand in the queue. What is left is reshaped for the first that fits into it. A request that
    `bypass_limit` later ones have passed is due: while the first of the queue is due, nothing passes it,
    and workers that come free are kept for it.
    """
    table = _Table(tuple(queue), tuple(idle_gangs), free_workers, bypass_limit)
    while table.start_one():
        pass
    return Assignment(starts=tuple(table.starts), queue=table.queue, reason=table.reason())


class _Table:
    """The working state of one decision."""

    def __init__(self, queue: tuple[Waiting, ...], idle: tuple[IdleGang, ...], free: int, limit: int) -> None:
        self.queue = queue
        self.idle = idle
        self.free = free
        self.limit = limit
        self.starts: list[Start] = []

    def start_one(self) -> bool:
        """Start one request, the best there is; False when none can."""
        candidates = self._may_start()
        for place, waiting in candidates:
            match = next((idle for idle in self.idle if idle.width == waiting.width), None)
            if match:
                self.idle = tuple(idle for idle in self.idle if idle != match)
                self._start(place, gang=match.gang, reason=f"gang {match.gang} has width {waiting.width}")
                return True
        for place, waiting in candidates:
            if waiting.width <= self.free + sum(idle.width for idle in self.idle):
                self._reshape(place, waiting.width)
                return True
        return False

    def reason(self) -> str:
        """One sentence on what is left in the queue."""
        if not self.queue:
            return "nothing waits"
        head = self.queue[0]
        have = self.free + sum(idle.width for idle in self.idle)
        if head.bypassed >= self.limit:
            return f"{have} idle workers are kept for a request of width {head.width} that {head.bypassed} have passed"
        return f"{len(self.queue)} wait; the first needs {head.width} workers and {have} are idle"

    def _may_start(self) -> list[tuple[int, Waiting]]:
        """The head if it is due; else all that stand before the first due one, and that one."""
        places = list(enumerate(self.queue))
        due = next((place for place, waiting in places if waiting.bypassed >= self.limit), None)
        return places if due is None else places[: due + 1]

    def _reshape(self, place: int, width: int) -> None:
        joined = min(self.free, width)
        broken = _fewest(self.idle, width - joined)
        self.idle = tuple(idle for idle in self.idle if idle not in broken)
        self.free += sum(idle.width for idle in broken) - width
        gangs = tuple(idle.gang for idle in broken)
        reason = f"{joined} free workers" + (f" and those of gangs {list(gangs)}" if gangs else "")
        self._start(place, dissolve=gangs, free_workers=joined, reason=reason)

    def _start(
        self, place: int, *, gang: int | None = None, dissolve: tuple[int, ...] = (), free_workers: int = 0, reason: str
    ) -> None:
        chosen = self.queue[place]
        self.starts.append(
            Start(
                ticket=chosen.ticket,
                width=chosen.width,
                gang=gang,
                dissolve=dissolve,
                free_workers=free_workers,
                reason=reason,
            )
        )
        passed = tuple(replace(waiting, bypassed=waiting.bypassed + 1) for waiting in self.queue[:place])
        self.queue = passed + self.queue[place + 1 :]


def _fewest(idle: tuple[IdleGang, ...], needed: int) -> tuple[IdleGang, ...]:
    """Gangs that together hold `needed` workers: one that suffices, else the widest first."""
    chosen: list[IdleGang] = []
    left = sorted(idle, key=lambda gang: gang.width)
    while needed > 0:
        one = next((gang for gang in left if gang.width >= needed), left[-1])
        left.remove(one)
        chosen.append(one)
        needed -= one.width
    return tuple(chosen)
