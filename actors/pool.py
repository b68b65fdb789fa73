"""The pool: one detached, named actor that leases gangs to whoever submits requests."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Literal

import ray

from actors.attendance import Attendance
from actors.dispatcher import Dispatcher
from actors.engine.snapshot import Snapshot
from actors.gang import Gang, Outcome
from actors.glimpse import Glimpse
from actors.heartbeat import beat_s
from actors.job import Job
from actors.keeper import RemoteKeeper
from actors.meters import Meters
from actors.order import Answer, Order
from actors.reconcile import reconcile
from actors.spec import PoolSpec
from actors.status import PoolStatus
from actors.take_status import take_status
from cluster.drain import draining_nodes
from cluster.errors import Cancelled, ClusterError
from cluster.placement import beside_us

QUEUE_LIMIT = 512
"""Requests that may wait; a submitter is told to come again when there are more."""
MAX_CALLS = 4 * QUEUE_LIMIT
"""Calls that may be under way at once; most of them are submissions that wait for their answer."""
_TICK_S = 0.5
_LOOK_S = 0.05
"""Between two looks at a video for somebody who waits for its next step,"""
_PATIENCE_S = 5.0
"""and how long they wait at most."""
_IDLE_CHECK_TICKS = 4


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """What a client is told when it attaches."""

    kind: Literal["joined", "other spec", "closing"]
    why: str = ""


class Pool:
    """Owns the queue and the gangs; ends itself when no client is left.

    As a detached actor it outlives the driver that started it. Its keeper owns the workers, so that they outlive its
    process: Ray starts another, which takes them back and the last snapshots of what they ran.
    """

    def __init__(self, spec: PoolSpec, name: str, namespace: str) -> None:
        self._spec = spec
        self._keeper = _keeper_of(spec, name, namespace)
        self._meters = Meters()
        self._dispatcher = Dispatcher(spec, self._keeper, self._made)
        self._attendance = Attendance(spec.client_timeout_s, time.monotonic())
        self._forgone: deque[str] = deque(maxlen=QUEUE_LIMIT)
        self._salvaged: dict[str, Snapshot] = {}
        self._met = self._again = ray.get_runtime_context().was_current_actor_reconstructed
        self._born_s = time.monotonic()
        self._closing: asyncio.Task[None] | None = None
        self._opened = asyncio.ensure_future(self._open())
        self._ticking = asyncio.ensure_future(self._tick())

    async def attach(self, client: str, owner: str, spec: PoolSpec) -> Welcome:
        """Let a client in, if it wants this pool and the pool is not about to end."""
        if self._closing or self._dispatcher.problem:
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
        while self._is_young():
            await asyncio.sleep(_TICK_S)
        self._attendance.leave(client)
        self._drop_the_gone()
        return self._closing is not None

    async def ready(self) -> str:
        """Wait until the least workers have loaded their model; return what prevents it, or an empty string."""
        while self._phase() == "starting":
            await asyncio.sleep(0.1)
        return self._dispatcher.problem

    async def submit(self, order: Order, owner: str) -> Answer | None:
        """Run a request and return its answer; None if the queue is full: come again."""
        await self._opened
        if order.width > self._spec.workers_of_a_domain or order.width < 1:
            return Answer(error=ClusterError(_bad_width(order.width, self._spec)))
        if not self._is_here(owner):
            return Answer(error=ClusterError("this driver is not attached to the pool; use PoolClient.connect"))
        if order.ticket in self._forgone:
            return Answer(error=Cancelled(f"{order.title} was cancelled before it came"))
        if len(self._dispatcher.queue) >= QUEUE_LIMIT:
            return None
        if order.ticket in self._salvaged:
            self._dispatcher.tally.resumed += 1
            order = replace(order, resume=self._salvaged.pop(order.ticket))
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

    async def steps_done(self, ticket: str, last: int) -> int | None:
        """Finished steps of the request with that ticket, as soon as they are not `last`; None while it waits.

        Answers after a few seconds whatever happens, so that hundreds may wait here and cost next to nothing.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while (steps := self._steps_done(ticket)) in (None, last) and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
        return steps

    def _steps_done(self, ticket: str) -> int | None:
        job = self._dispatcher.find(ticket)
        if job is None or job.started_s is None or job.gang is None or job.gang.watch is None:
            return None
        return job.gang.watch.steps

    async def glimpse(self, ticket: str, seen: int) -> Glimpse | None:
        """The first latent frame of a running request's last snapshot; None if that is of no step after `seen`."""
        job = self._dispatcher.find(ticket)
        if job is None or job.gang is None or job.gang.watch is None or job.gang.watch.last_part <= seen:
            return None
        glimpse = Glimpse.of(job.gang.watch.snapshot)
        return None if glimpse is None or glimpse.step <= seen else glimpse

    async def status(self) -> PoolStatus:
        """The pool at this moment."""
        return take_status(self._spec, self._dispatcher, self._phase())

    def _phase(self) -> str:
        if self._closing:
            return "closing"
        if self._dispatcher.problem:
            return "failed"
        return "ready" if self._dispatcher.domains.started.is_set() else "starting"

    async def _open(self) -> None:
        """Take back what outlived the pool's last process, if it had one."""
        if self._again:
            self._salvaged = await reconcile(self._keeper, self._dispatcher)

    async def _tick(self) -> None:
        await self._opened
        ticks = 0
        while self._closing is None:
            self._dispatcher.domains.scale(self._dispatcher.backlog())
            await asyncio.sleep(_TICK_S)
            ticks += 1
            self._attendance.expire(time.monotonic())
            self._drop_the_gone()
            self._dispatcher.look_round(await asyncio.to_thread(draining_nodes))
            self._meters.show(await self.status())
            if ticks % _IDLE_CHECK_TICKS == 0:
                await self._dispatcher.check_idle()

    def _made(self, job: Job, gang: Gang, outcome: Outcome, seconds: float) -> None:
        order = job.order
        self._meters.video(
            outcome.figures,
            width=gang.width,
            priority=order.priority,
            resolution=order.resolution,
            seconds=seconds,
            waited_s=job.waited_s or 0.0,
        )

    def _is_here(self, owner: str) -> bool:
        return self._attendance.is_here(owner) or self._is_young()

    def _is_young(self) -> bool:
        """Whether it has just been started again, so that not every client may have been heard of."""
        return self._again and time.monotonic() - self._born_s < 3 * beat_s(self._spec.client_timeout_s)

    def _drop_the_gone(self) -> None:
        """Cancel what nobody waits for, and end when nobody is left."""
        self._dispatcher.cancel(lambda job: not self._is_here(job.owner))
        if (
            self._closing is None
            and not self._is_young()
            and self._attendance.deserted(time.monotonic(), met=self._met)
        ):
            self._closing = asyncio.ensure_future(self._close())

    async def _close(self) -> None:
        self._dispatcher.close("the pool ends: its last client has left")
        try:
            await self._dispatcher.domains.close()
            await asyncio.sleep(0.1)  # lets the last answers out
        finally:
            ray.kill(self._keeper, no_restart=True)
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def _bad_width(width: int, spec: PoolSpec) -> str:
    most = spec.workers_of_a_domain
    if width < 1:
        return f"a gang of width {width} was asked for; it must be 1 or more"
    what, key = ("the pool", "workers") if most == spec.workers else ("a domain", "domain_workers")
    return (
        f"a gang of width {width} needs {width} workers and {what} has {most}; "
        f"use gang.width of at most {most} or cluster.{key}={width}"
    )


def _keeper_of(spec: PoolSpec, name: str, namespace: str) -> Any:
    """The pool's keeper, on its node; the one that is there if the pool starts again."""
    return RemoteKeeper.options(
        name=f"{name}-keeper",
        namespace=namespace,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=0,
        max_concurrency=MAX_CALLS,
        scheduling_strategy=beside_us(),
    ).remote(spec, name, namespace)


RemotePool: Any = ray.remote(Pool)
