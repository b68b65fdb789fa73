"""A request on its way through the pool."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from actors.gang import Gang, Outcome
from actors.order import Answer, Order
from cluster.errors import Cancelled, GangError, HandedOver, PabcastError

Cause = Literal["rank", "node", "drain", "forming", "pool"]
BLAMELESS: tuple[Cause, ...] = ("node", "drain", "forming", "pool")
"""Causes that a request has no part in; a rank that dies may have died of its request."""
LOSS_LIMIT = 20
"""How often a request may lose its gang, whatever the cause, before that is its submitter's matter."""


@dataclass(eq=False)
class Job:
    """An order, whose it is, where it stands, and the answer that its submitter waits for."""

    order: Order
    owner: str
    """The driver that it belongs to."""
    arrival: int = 0
    """Its number in the order of arrival."""
    turn: int = 0
    """The start, counted over the pool's life, that would be its own if nothing passed it."""
    gang: Gang | None = None
    cancelled: bool = False
    strikes: int = 0
    """Ranks lost since it last got further."""
    losses: int = 0
    """Gangs lost in all."""
    queued_s: float = field(default_factory=time.monotonic)
    started_s: float | None = None
    """When its present gang began with it."""
    waited_s: float | None = None
    form_s: float = 0.0
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def start(self, now: float) -> None:
        """Its gang begins with it."""
        self.started_s = now
        if self.waited_s is None:
            self.waited_s = now - self.queued_s

    def hand_over(self, outcome: Outcome) -> None:
        """It has left its gang at a full step, unless it was lost there."""
        self.gang, self.started_s = None, None
        if outcome.snapshot is not None:
            self.order = replace(self.order, resume=outcome.snapshot)

    def try_again(self, outcome: Outcome, cause: Cause) -> bool:
        """Whether it waits for another gang after it lost one; then its order says where to go on.

        A request that loses rank after rank without getting further is given up: it may be what kills them.
        """
        if self.cancelled or not isinstance(outcome.error, GangError | HandedOver):
            return False
        reached = self.order.resume.step if self.order.resume else 0
        further = outcome.snapshot is not None and outcome.snapshot.step > reached
        self.losses += 1
        if further:
            self.strikes = 0
        elif cause not in BLAMELESS:
            self.strikes += 1
        if self.losses > LOSS_LIMIT or (self.strikes >= self.order.attempts and not further):
            return False
        self.hand_over(outcome if further else replace(outcome, snapshot=None))
        return True

    def left_s(self, now: float) -> Mapping[int, float]:
        """Predicted seconds to its end, at its width and those that it may move to, from how it has gone so far."""
        gang = self.gang
        if gang is None or gang.watch is None or self.started_s is None:
            return {}
        # At its own width the prediction cancels out.
        seconds = self.order.seconds if gang.width in self.order.seconds else {gang.width: 1.0}
        first = self.order.resume.step if self.order.resume else 0
        done = gang.watch.steps - first
        if done < 2:
            return {}
        seen_s = gang.watch.moved_s
        per_step = (seen_s - self.started_s) / done
        steps_left = max(0.0, self.order.steps - gang.watch.steps - (now - seen_s) / per_step)
        own = per_step * steps_left / seconds[gang.width]
        return {width: own * predicted for width, predicted in seconds.items()}

    def answer_of(self, gang: Gang, outcome: Outcome) -> Answer:
        """What `outcome` on `gang` is to its submitter."""
        error: PabcastError | None = outcome.error
        if self.cancelled:
            error = Cancelled(f"{self.order.title} was cancelled")
        elif isinstance(error, GangError | HandedOver) and self.losses > 1:
            error = GangError(f"its gang failed {self.losses} times, the last time so: {error}")
        return Answer(
            error=error,
            parts=() if error else outcome.parts,
            report=outcome.report,
            width=gang.width,
            generation=gang.generation,
            queue_seconds=self.waited_s or 0.0,
            form_seconds=self.form_s,
        )

    def finish(self, answer: Answer) -> None:
        """Answer the submitter; only the first answer counts."""
        if not self.answer.done():
            self.answer.set_result(answer)
