"""A request on its way through the pool."""

import asyncio
import time
from dataclasses import dataclass, field, replace

from actors.gang import Gang, Outcome
from actors.order import Answer, Order
from cluster.errors import Cancelled

RESUME_LIMIT = 10
"""How often a video may go on from a snapshot before its loss is its submitter's matter."""


@dataclass(eq=False)
class Job:
    """An order, whose it is, where it stands, and the answer that its submitter waits for."""

    order: Order
    owner: str
    """The driver that it belongs to."""
    bypassed: int = 0
    gang: Gang | None = None
    tries: int = 0
    cancelled: bool = False
    resumes: int = 0
    """How often it went on from a snapshot."""
    queued_s: float = field(default_factory=time.monotonic)
    started_s: float | None = None
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def queue_seconds(self) -> float:
        """From its coming to the start of its run, or to now."""
        return (self.started_s or time.monotonic()) - self.queued_s

    def go_on(self, outcome: Outcome) -> bool:
        """Whether it can go on from a snapshot after its gang broke; then its order says from where.

        One that has lost a gang without getting further since its last snapshot is not given another here.
        """
        found = outcome.snapshot
        reached = self.order.resume.step if self.order.resume else 0
        if found is None or found.step <= reached or self.cancelled or self.resumes >= RESUME_LIMIT:
            return False
        self.resumes += 1
        self.gang, self.started_s = None, None
        self.order = replace(self.order, resume=found)
        return True

    def answer_of(self, gang: Gang, outcome: Outcome) -> Answer:
        """What `outcome` on `gang` is to its submitter."""
        error = Cancelled(f"{self.order.title} was cancelled") if self.cancelled else outcome.error
        return Answer(
            error=error,
            parts=() if error else outcome.parts,
            report=outcome.report,
            width=gang.width,
            generation=gang.generation,
            queue_seconds=self.queue_seconds,
        )

    def finish(self, answer: Answer) -> None:
        """Answer the submitter; only the first answer counts."""
        if not self.answer.done():
            self.answer.set_result(answer)
