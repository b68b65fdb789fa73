"""A request on its way through the pool."""

import asyncio
import time
from dataclasses import dataclass, field

from actors.gang import Gang
from actors.order import Answer, Order


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
    queued_s: float = field(default_factory=time.monotonic)
    started_s: float | None = None
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def queue_seconds(self) -> float:
        """From its coming to the start of its run, or to now."""
        return (self.started_s or time.monotonic()) - self.queued_s

    def finish(self, answer: Answer) -> None:
        """Answer the submitter; only the first answer counts."""
        if not self.answer.done():
            self.answer.set_result(answer)
