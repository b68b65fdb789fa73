"""The pool's planner: which waiting request starts on which workers, and which running video moves to more of them.

Forming a gang costs a fraction of a second and idle workers, so requests that fit an idle gang go first, wherever
they stand: a mixed queue keeps the gangs it has. A request that has waited past its turn by `BYPASS_LIMIT` starts
is due; the workers of one domain are then kept for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from cluster.plan import (
    BYPASS_LIMIT,
    LEAST_GAIN,
    LEAST_GAIN_S,
    DomainState,
    Head,
    IdleGang,
    Line,
    Plan,
    Priority,
    RunningGang,
    Shares,
    Start,
    Taking,
    Widen,
)

SHARES_OVER = 30
"""Shares are kept over about so many videos of each worker: what a class had before is no debt that shuts it out."""
WORTH = 0.95
"""A wider gang at the start must take at most this share of the time."""


def plan(
    lines: Iterable[Line],
    domains: Iterable[DomainState],
    shares: Shares | None = None,
    served: Mapping[Priority, float] | None = None,
) -> Plan:
    """Decide what starts and what widens now. `served` is that of the plan before.

    When fewer requests wait than workers are idle, those that may be wider are, if that ends them sooner; when
    none waits, the running video with the most left to do moves to the idle workers beside it.
    """
    table = _Table(tuple(lines), tuple(domains), shares or Shares(), served or {})
    while table.start_one():
        pass
    table.widen()
    return Plan(
        starts=tuple(table.starts), widens=tuple(table.widens), served=table.remembered(), reason=table.reason()
    )


class _Room:
    """What is left of a domain."""

    def __init__(self, domain: DomainState) -> None:
        self.name = domain.name
        self.workers = domain.workers
        self.free = domain.free
        self.idle = list(domain.idle)
        self.running = list(domain.running)

        self.settled: list[RunningGang] = []
        """Running ones that were looked at."""

    @property
    def spare(self) -> int:
        return self.free + sum(gang.width for gang in self.idle)

    def take(self, width: int) -> Taking:
        """Take workers without a gang, then gangs: one that suffices, else the widest first."""
        joined = min(self.free, width)
        broken = _fewest(self.idle, width - joined)
        self.idle = [gang for gang in self.idle if gang not in broken]
        self.free += sum(gang.width for gang in broken) - width
        names = tuple(gang.gang for gang in broken)
        return Taking(domain=self.name, width=width, dissolve=names, free_workers=joined)


@dataclass
class _Queued:
    """A line while heads leave it."""

    line: Line
    waiting: int
    heads: list[Head]


class _Table:
    """Starts one request after the other, then widens."""

    def __init__(
        self,
        lines: tuple[Line, ...],
        domains: tuple[DomainState, ...],
        shares: Shares,
        served: Mapping[Priority, float],
    ) -> None:
        self._lines = [_Queued(line, line.waiting, list(line.heads)) for line in lines]
        self._rooms = [_Room(domain) for domain in domains]
        self._shares = shares
        self._started = 0
        self._usual = self._usual_s()
        self.served: dict[Priority, float] = {"online": 0.0, "offline": 0.0, **served}
        self.starts: list[Start] = []
        self.widens: list[Widen] = []

    def start_one(self) -> bool:
        """Start the best request there is; False when none can."""
        kept: list[_Room] = []
        for priority in self._order():
            if self._start_of(priority, [room for room in self._rooms if room not in kept]):
                return True
            # What the first class cannot start yet, the second does not take the workers from.
            first = min(self._firsts(priority), key=_arrival, default=None)
            if first and self._allowed(priority, first.line.width):
                kept += [room for room in [self._kept_for(first)] if room]
        return False

    def widen(self) -> None:
        """Move running videos to the workers that nothing waits for."""
        if self._waiting():
            return
        for room in self._rooms:
            while room.spare and self._widen_one(room):
                pass

    def remembered(self) -> dict[Priority, float]:
        """What each class has been served; one that is ahead is so by no more than `SHARES_OVER` videos make up for."""
        most = SHARES_OVER * self._usual * sum(room.workers for room in self._rooms)
        online, offline, share = self.served["online"], self.served["offline"], self._shares.offline
        fair = share * (online + offline)
        kept = min(max(offline, fair - (1 - share) * most), fair + share * most)
        return {"online": online + offline - kept, "offline": kept}

    def reason(self) -> str:
        """One sentence on what is left in the queue."""
        if not self._waiting():
            return "nothing waits"
        first = min((queued for queued in self._lines if queued.heads), key=_arrival, default=None)
        spare = sum(room.spare for room in self._rooms)
        if first is None:
            return f"{self._waiting()} wait and no worker is idle"
        late = self._late(first.heads[0])
        if late >= BYPASS_LIMIT:
            return f"{spare} idle workers are kept for a request of width {first.line.width} that is {late} starts late"
        return f"{self._waiting()} wait; the first needs {first.line.width} workers and {spare} are idle"

    def _order(self) -> tuple[Priority, ...]:
        """Online first, unless offline requests have had less than their share."""
        total = sum(self.served.values())
        owed = self._contended() and self.served["offline"] < self._shares.offline * total
        return ("offline", "online") if owed else ("online", "offline")

    def _contended(self) -> bool:
        """Whether both classes wait, for what they can have."""
        return all(any(map(self._is_possible, self._firsts(priority))) for priority in ("online", "offline"))

    def _is_possible(self, queued: _Queued) -> bool:
        """Whether the pool, with the domains it has now, can ever start such a request."""
        most, width = self._shares.offline_workers, queued.line.width
        barred = queued.line.priority == "offline" and most is not None and width > most
        return not barred and any(room.workers >= width for room in self._rooms)

    def _usual_s(self) -> float:
        """What a request is taken to last of which nothing is predicted: as long as the others do."""
        known = [head.seconds.get(queued.line.width) for queued in self._lines for head in queued.line.heads]
        found = [seconds for seconds in known if seconds is not None]
        return sum(found) / len(found) if found else 1.0

    def _waiting(self, priority: Priority | None = None) -> int:
        return sum(queued.waiting for queued in self._lines if priority in (None, queued.line.priority))

    def _late(self, head: Head) -> int:
        return head.late + self._started

    def _firsts(self, priority: Priority) -> list[_Queued]:
        return [queued for queued in self._lines if queued.heads and queued.line.priority == priority]

    def _start_of(self, priority: Priority, rooms: list[_Room]) -> bool:
        firsts = sorted(self._firsts(priority), key=_arrival)
        due = next((queued for queued in firsts if self._is_due(queued)), None)
        kept = self._kept_for(due) if due else None
        options = []
        for queued in firsts:
            later = due is not None and _arrival(queued) > _arrival(due)
            able = [room for room in rooms if room is not kept or not later]
            # What comes later leaves it workers of a domain, and enough of what its class may hold.
            options.append((queued, able, due.line.width if due and later else 0))
        return any(self._on_a_gang(*option) for option in options) or any(self._on_a_new(*option) for option in options)

    def _kept_for(self, due: _Queued) -> _Room | None:
        """The domain whose workers are kept for a request that is due: where the most are idle."""
        able = [room for room in self._rooms if room.workers >= due.line.width]
        return max(able, key=lambda room: room.spare, default=None)

    def _is_due(self, queued: _Queued) -> bool:
        """Whether a line's first has waited past its turn; one that cannot start at all keeps nobody waiting."""
        return self._is_possible(queued) and self._late(queued.heads[0]) >= BYPASS_LIMIT

    def _on_a_gang(self, queued: _Queued, rooms: list[_Room], owed: int) -> bool:
        width, why = self._width_of(queued, rooms, owed)
        if not self._allowed(queued.line.priority, width + owed):
            return False
        for room in rooms:
            gang = next((gang for gang in room.idle if gang.width == width), None)
            if gang:
                room.idle.remove(gang)
                self._start(queued, width, room, gang.gang, f"gang {gang.gang} has width {width}{why}")
                return True
        return False

    def _on_a_new(self, queued: _Queued, rooms: list[_Room], owed: int) -> bool:
        width, why = self._width_of(queued, rooms, owed)
        able = [room for room in rooms if room.spare >= width]
        if not able or not self._allowed(queued.line.priority, width + owed):
            return False
        # Workers without a gang first, then the domain that is left with the fewest idle ones.
        room = min(able, key=lambda room: (room.free < width, room.spare))
        taking = room.take(width)
        gangs = f" and those of gangs {list(taking.dissolve)}" if taking.dissolve else ""
        self._start(queued, width, room, taking, f"{taking.free_workers} free workers{gangs}{why}")
        return True

    def _width_of(self, queued: _Queued, rooms: list[_Room], owed: int) -> tuple[int, str]:
        """The width for the first of a line: its own, or a wider one when workers would be idle otherwise."""
        line, seconds = queued.line, queued.heads[0].seconds
        spare = sum(room.spare for room in self._rooms)
        share = min(spare // self._waiting(), max((room.spare for room in rooms), default=0))
        wider = [width for width in seconds if line.width < width <= share]
        if not wider or line.width not in seconds:
            return line.width, ""
        best = min(wider, key=lambda width: (seconds[width], width))
        if seconds[best] > WORTH * seconds[line.width] or not self._allowed(line.priority, best + owed):
            return line.width, ""
        why = f"; {self._waiting()} wait for {spare}: {seconds[best]:.1f} s instead of {seconds[line.width]:.1f} s"
        return best, why

    def _allowed(self, priority: Priority, more: int) -> bool:
        """Whether a class may hold so many more workers."""
        most = self._shares.offline_workers
        if priority == "online" or most is None:
            return True
        held = sum(gang.width for gang in self._running() if gang.priority == "offline")
        return held + more <= most

    def _running(self) -> Iterator[RunningGang]:
        return (gang for room in self._rooms for gang in (*room.running, *room.settled))

    def _start(self, queued: _Queued, width: int, room: _Room, on: int | Taking, reason: str) -> None:
        contended = self._contended()
        head = queued.heads.pop(0)
        queued.waiting -= 1
        room.running.append(RunningGang(gang=-1, width=width, priority=queued.line.priority))
        if contended:
            self.served[queued.line.priority] += width * head.seconds.get(width, self._usual)
        self._started += 1
        self.starts.append(Start(ticket=head.ticket, width=width, on=on, reason=reason))

    def _widen_one(self, room: _Room) -> bool:
        slow = max(
            (gang for gang in room.running if gang.width in gang.left_s),
            key=lambda gang: gang.left_s[gang.width],
            default=None,
        )
        if slow is None:
            return False
        room.running.remove(slow)
        room.settled.append(slow)
        now, limit = slow.left_s[slow.width], slow.width + room.spare
        wider = [width for width in slow.left_s if slow.width < width <= limit]
        best = min(wider, key=lambda width: (slow.left_s[width], width), default=None)
        if best is None or not self._allowed(slow.priority, best - slow.width):
            return True
        gain = now - slow.left_s[best]
        if gain >= max(LEAST_GAIN_S, LEAST_GAIN * now):
            taking = room.take(best - slow.width)
            room.settled[-1] = replace(slow, width=best)
            reason = f"nothing waits: {slow.left_s[best]:.1f} s left on {best} workers instead of {now:.1f} s"
            self.widens.append(Widen(gang=slow.gang, width=best, taking=taking, reason=reason))
        return True


def _arrival(queued: _Queued) -> int:
    return queued.heads[0].arrival


def _fewest(idle: list[IdleGang], needed: int) -> list[IdleGang]:
    """Gangs that together hold `needed` workers: one that suffices, else the widest first."""
    chosen: list[IdleGang] = []
    left = sorted(idle, key=lambda gang: gang.width)
    while needed > 0:
        one = next((gang for gang in left if gang.width >= needed), left[-1])
        left.remove(one)
        chosen.append(one)
        needed -= one.width
    return chosen
