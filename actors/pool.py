"""The pool: one detached, named actor that leases gangs to whoever submits requests."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import ray

from actors.attendance import Attendance
from actors.dispatcher import Dispatcher
from actors.fleet import Fleet
from actors.job import Job
from actors.order import Answer, Order
from actors.spec import PoolSpec
from actors.status import MemberStatus, PoolStatus
from cluster.errors import Cancelled, ClusterError

QUEUE_LIMIT = 512
"""Requests that may wait; a submitter is told to come again when there are more."""
MAX_CALLS = 4 * QUEUE_LIMIT
"""Calls that may be under way at once; most of them are submissions that wait for their answer."""
_TICK_S = 0.5
_IDLE_CHECK_TICKS = 4


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """What a client is told when it attaches."""

    kind: Literal["joined", "other spec", "closing"]
    why: str = ""


class Pool:
    """Owns the placement group, the workers and the queue; ends itself when no client is left.

    As a detached actor it outlives the driver that started it, and its workers and placement group die with it.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self._spec = spec
        self._fleet = Fleet(spec)
        self._dispatcher = Dispatcher(self._fleet, spec)
        self._attendance = Attendance(spec.client_timeout_s, time.monotonic())
        self._forgone: deque[str] = deque(maxlen=QUEUE_LIMIT)
        self._met = False
        self._closing: asyncio.Task[None] | None = None
        self._dispatcher.start()
        self._ticking = asyncio.ensure_future(self._tick())

    async def attach(self, client: str, owner: str, spec: PoolSpec) -> Welcome:
        """Let a client in, if it wants this pool and the pool is not about to end."""
        if self._closing or self._dispatcher.phase == "failed":
            return Welcome(kind="closing", why=self._dispatcher.problem)
        differences = self._spec.differences(spec)
        if differences:
            return Welcome(kind="other spec", why=differences)
        self._met = True
        self._attendance.hear(client, owner, time.monotonic())
        return Welcome(kind="joined")

    async def beat(self, client: str, owner: str) -> None:
        """A client is alive."""
        if not self._closing:
            self._attendance.hear(client, owner, time.monotonic())

    async def detach(self, client: str) -> bool:
        """A client leaves; True if it was the last, and the pool ends."""
        self._attendance.leave(client)
        self._drop_the_gone()
        return self._closing is not None

    async def ready(self) -> str:
        """Wait until all models are loaded; return what prevents it, or an empty string."""
        while self._dispatcher.phase in ("starting", "renewing"):
            await asyncio.sleep(0.1)
        return self._dispatcher.problem

    async def submit(self, order: Order, owner: str) -> Answer | None:
        """Run a request and return its answer; None if the queue is full: come again."""
        if order.width > self._spec.workers or order.width < 1:
            return Answer(error=ClusterError(_bad_width(order.width, self._spec.workers)))
        if not self._attendance.is_here(owner):
            return Answer(error=ClusterError("this driver is not attached to the pool; use PoolClient.connect"))
        if order.ticket in self._forgone:
            return Answer(error=Cancelled(f"{order.title} was cancelled before it came"))
        if self._dispatcher.queued >= QUEUE_LIMIT:
            return None
        job = Job(order=order, owner=owner)
        self._dispatcher.submit(job)
        return await job.answer

    async def cancel(self, key: str) -> int:
        """Cancel the requests with that key; return how many there were."""
        return self._dispatcher.cancel(lambda job: job.order.key == key)

    async def forgo(self, ticket: str) -> None:
        """The submitter of a ticket does not wait for it any more; this may come before the ticket itself does."""
        if not self._dispatcher.cancel(lambda job: job.order.ticket == ticket):
            self._forgone.append(ticket)

    async def steps_done(self, ticket: str) -> int | None:
        """Finished steps of the request with that ticket; None while it waits or if there is none."""
        job = self._dispatcher.find(ticket)
        if job is None or job.started_s is None or job.gang is None or job.gang.watch is None:
            return None
        return job.gang.watch.steps

    async def status(self) -> PoolStatus:
        """The pool at this moment."""
        gangs = self._dispatcher.gangs
        now = time.monotonic()
        tally, clock = self._dispatcher.tally, self._dispatcher.clock
        return PoolStatus(
            phase=self._dispatcher.phase,
            workers=self._spec.workers,
            busy_workers=sum(gang.width for gang, busy in gangs if busy),
            busy_gangs=sum(busy for _, busy in gangs),
            gangs=tuple((gang.width, busy) for gang, busy in gangs),
            queued=self._dispatcher.queued,
            done=tally.done,
            failed=tally.failed,
            cancelled=tally.cancelled,
            resumed=tally.resumed,
            generation=self._dispatcher.generation,
            gang_busy_seconds=clock.busy_seconds(now),
            gang_seconds=clock.span_seconds(now) * self._spec.workers,
            members=tuple(self._member_status(index) for index in sorted(self._fleet.members)),
        )

    def _member_status(self, index: int) -> MemberStatus:
        member = self._fleet.members[index]
        busy = [busy for gang, busy in self._dispatcher.gangs if member in gang.members]
        state = ("busy" if busy[0] else "idle") if busy else "free"
        if not member.loaded:
            state = "loading" if member.pid else "starting"
        return MemberStatus(index=index, node=member.node, pid=member.pid, state=state)

    async def _tick(self) -> None:
        ticks = 0
        while self._closing is None:
            await asyncio.sleep(_TICK_S)
            ticks += 1
            self._attendance.expire(time.monotonic())
            self._drop_the_gone()
            if ticks % _IDLE_CHECK_TICKS == 0:
                await self._dispatcher.check_idle()

    def _drop_the_gone(self) -> None:
        """Cancel what nobody waits for, and end when nobody is left."""
        self._dispatcher.cancel(lambda job: not self._attendance.is_here(job.owner))
        if self._closing is None and self._attendance.deserted(time.monotonic(), met=self._met):
            self._closing = asyncio.ensure_future(self._close())

    async def _close(self) -> None:
        self._dispatcher.close("the pool ends: its last client has left")
        try:
            await self._fleet.close()
            await asyncio.sleep(0.1)  # lets the last answers out
        finally:
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def _bad_width(width: int, workers: int) -> str:
    if width < 1:
        return f"a gang of width {width} was asked for; it must be 1 or more"
    return (
        f"a gang of width {width} needs {width} workers and the pool has {workers}; "
        f"use gang.width of at most {workers} or cluster.workers={width}"
    )


RemotePool: Any = ray.remote(Pool)
