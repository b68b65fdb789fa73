"""Whether the ranks of a run go forward, asked outside their collectives."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ray

from actors.engine.snapshot import Snapshot, SnapshotPart, join_parts
from actors.member import Member
from actors.order import Order, RankAnswer
from cluster.errors import GangError

_ASK_S = 0.5
_ASK_OF_ONLINE_S = 0.05
"""Somebody may be watching its steps."""
_PARTS_KEPT = 3
"""Of each rank: ranks run apart while they send each other nothing, so their last snapshots may differ."""


@dataclass
class _Seen:
    """What is known of a rank; times on this process's clock."""

    steps: int
    moved_s: float
    heard_s: float
    parts: deque[SnapshotPart]


class RankWatch:
    """Asks every rank of one run for its progress until closed."""

    def __init__(self, members: tuple[Member, ...], order: Order, step_timeout_s: float) -> None:
        self._members = members
        self._order = order
        self._timeout_s = step_timeout_s
        self._ask_s = _ASK_OF_ONLINE_S if order.priority == "online" else _ASK_S
        steps, now = order.resume.step if order.resume else 0, self.now()
        self.snapshots = 0
        """How many were seen of rank 0."""
        self._seen = [_Seen(steps, now, now, deque(maxlen=_PARTS_KEPT)) for _ in members]
        self._asking = [asyncio.ensure_future(self._ask(rank)) for rank in range(len(members))]

    @staticmethod
    def now() -> float:
        """Seconds on the clock of the watch."""
        return time.monotonic()

    @property
    def steps(self) -> int:
        """Steps that every rank has finished."""
        return min(seen.steps for seen in self._seen)

    @property
    def moved_s(self) -> float:
        """When the last of them was seen to have finished its last step, on the clock of the watch."""
        return max(seen.moved_s for seen in self._seen)

    @property
    def snapshot(self) -> Snapshot | None:
        """The latest one of which every rank's part is here."""
        return join_parts(part for seen in self._seen for part in seen.parts)

    @property
    def last_part(self) -> int:
        """The step of the last snapshot of rank 0; 0 before there is one."""
        return _last(self._seen[0])

    def close(self) -> None:
        """Ask no more."""
        for asking in self._asking:
            asking.cancel()

    def hung(self, ranks: Iterable[int]) -> str:
        """Why the gang counts as hung, judging by `ranks`; empty while they move."""
        now = self.now()
        still = [rank for rank in ranks if now - self._seen[rank].moved_s > self._timeout_s]
        if not still:
            return ""
        # One that stops stops its peers in the next collective: name the one that does not even answer.
        rank = min(still, key=lambda rank: self._seen[rank].heard_s)
        seen = self._seen[rank]
        silent_s, still_s = now - seen.heard_s, now - seen.moved_s
        what = f"has not answered for {silent_s:.0f} s" if silent_s > 4 * _ASK_S else "answers but does not move"
        return (
            f"{self._name(rank)} hangs after {seen.steps} of {self._order.steps} steps: it {what}, and finished no "
            f"step for {still_s:.0f} s (limit {self._timeout_s:g} s, cluster.step_timeout_s)"
        )

    def answer_of(self, rank: int, task: "asyncio.Future[Any]") -> RankAnswer:
        """The answer of a rank whose run ended; its death is a `GangError`."""
        error = task.exception()
        if error is None:
            answer: RankAnswer = task.result()
            return answer
        steps = f"after {self._seen[rank].steps} of {self._order.steps} steps"
        if isinstance(error, ray.exceptions.RayActorError):
            return RankAnswer(error=GangError(f"{self._name(rank)} died {steps}"), died=True)
        first = (str(error).strip().splitlines() or [""])[0]
        return RankAnswer(error=GangError(f"{self._name(rank)} failed {steps}: {type(error).__name__}: {first}"))

    async def _ask(self, rank: int) -> None:
        seen, handle = self._seen[rank], self._members[rank].handle
        while True:
            # Short videos end before they are asked.
            await asyncio.sleep(self._ask_s)
            try:
                progress = await handle.progress.remote()
                if progress.ticket == self._order.ticket and progress.snapshot > _last(seen):
                    part = await handle.snapshot.remote()
                    seen.parts += [part] if part else []
                    self.snapshots += rank == 0
            except ray.exceptions.RayError:
                return  # the run itself ends with the reason
            seen.heard_s = self.now()
            if progress.ticket == self._order.ticket and progress.steps != seen.steps:
                seen.steps, seen.moved_s = progress.steps, seen.heard_s

    def _name(self, rank: int) -> str:
        member = self._members[rank]
        return f"rank {rank} of {len(self._members)} (worker {member.index}, pid {member.pid})"


def _last(seen: _Seen) -> int:
    return seen.parts[-1].step if seen.parts else 0
