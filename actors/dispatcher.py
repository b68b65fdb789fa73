"""The dispatcher: brings waiting requests and workers together."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from actors.busy_clock import BusyClock
from actors.fleet import BundleLost, Fleet
from actors.gang import Gang, Outcome
from actors.job import Job
from actors.member import Member, in_order
from actors.order import Answer
from actors.spec import PoolSpec
from actors.tally import Tally
from cluster.assign import IdleGang, Start, Waiting, assign
from cluster.errors import Cancelled, ClusterError, GangError

log = logging.getLogger("pabcast.pool")

FORM_TRIES = 3
"""How often a request may lose its gang before the first step."""
RENEW_TRIES = 3
"""How often in a row the bundles may be lost."""


class Dispatcher:
    """The queue, the gangs, and the free workers of one pool; all of it on one event loop."""

    def __init__(self, fleet: Fleet, spec: PoolSpec) -> None:
        self._fleet = fleet
        self._spec = spec
        self._queue: list[Job] = []
        self._running: dict[str, Job] = {}
        self._gangs: dict[int, Gang] = {}
        self._busy: set[int] = set()
        self._free: list[Member] = []
        self._replacing = 0
        self.generation = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.phase = "starting"
        self.problem = ""
        self.tally = Tally()
        self.clock = BusyClock()

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def gangs(self) -> tuple[tuple[Gang, bool], ...]:
        """Every gang, and whether it has a request."""
        return tuple((gang, name in self._busy) for name, gang in self._gangs.items())

    def start(self) -> None:
        """Start the workers and then the requests that wait; a cluster that cannot is told to all of them."""
        self._spawn(self._bring_up(self._fleet.start))

    def submit(self, job: Job) -> None:
        """Put a request in the queue; its answer comes through `job.answer`."""
        if self.problem:
            job.finish(Answer(error=ClusterError(self.problem)))
            return
        self._queue.append(job)
        self._plan()

    def cancel(self, wanted: Callable[[Job], bool]) -> int:
        """Take requests out of the queue, or stop them between two steps; return how many."""
        waiting = [job for job in self._queue if wanted(job)]
        self._queue = [job for job in self._queue if job not in waiting]
        running = [job for job in self._running.values() if wanted(job) and not job.cancelled]
        for job in waiting:
            self._settle(job, Answer(error=Cancelled(f"{job.order.title} was cancelled while it waited")))
        for job in running:
            job.cancelled = True
            if job.gang and job.started_s is not None:
                self._spawn(job.gang.stop(job.order))
        if waiting:
            self._plan()
        return len(waiting) + len(running)

    def find(self, ticket: str) -> Job | None:
        """The request with that ticket, if it has left the queue and is not done."""
        return self._running.get(ticket)

    async def check_idle(self) -> None:
        """Replace the workers that died while they had nothing to do."""
        if self.phase != "ready":
            return
        idle = [gang for name, gang in self._gangs.items() if name not in self._busy]
        members = [member for gang in idle for member in gang.members] + self._free
        for member in await self._fleet.dead([member for member in members if not member.dead]):
            if member.dead or any(member in gang.members for gang, busy in self.gangs if busy):
                continue
            log.warning("worker %d (pid %d) died while idle", member.index, member.pid)
            member.dead = True
            gang = next((gang for gang, _ in self.gangs if member in gang.members), None)
            survivors = [other for other in gang.members if other is not member] if gang else []
            if gang:
                del self._gangs[gang.generation]
            self._free = [other for other in self._free if other is not member] + survivors
            self._spawn(self._replace([member]))

    def close(self, reason: str) -> None:
        """Answer everybody and start nothing more."""
        self.phase, self.problem = "closing", reason
        for job in [*self._queue, *self._running.values()]:
            job.finish(Answer(error=Cancelled(reason)))
        self._queue.clear()
        for task in self._tasks:
            task.cancel()

    def _plan(self) -> None:
        """Start whatever can start now."""
        if self.phase != "ready":
            return
        waiting = (
            Waiting(ticket=job.order.ticket, width=job.order.width, bypassed=job.bypassed) for job in self._queue
        )
        idle = (IdleGang(gang=name, width=gang.width) for name, gang in self._gangs.items() if name not in self._busy)
        decision = assign(waiting, idle, len(self._free))
        if not decision.starts:
            return
        jobs = {job.order.ticket: job for job in self._queue}
        for start in decision.starts:
            log.info("%s starts: %s", jobs[start.ticket].order.title, start.reason)
            self._start(jobs[start.ticket], start)
        for left in decision.queue:
            jobs[left.ticket].bypassed = left.bypassed
        self._queue = [jobs[left.ticket] for left in decision.queue]

    def _start(self, job: Job, start: Start) -> None:
        self._running[job.order.ticket] = job
        if start.gang is not None:
            job.gang = self._gangs[start.gang]
            self._busy.add(job.gang.generation)
            self._spawn(self._serve(job, job.gang, form=False))
            return
        broken = [self._gangs.pop(name) for name in start.dissolve]
        for gang in broken:
            gang.dissolve()
        pool = [member for gang in broken for member in gang.members]
        pool += [self._free.pop(0) for _ in range(start.free_workers)]
        members, left = pool[: start.width], pool[start.width :]
        self._free = in_order(self._free + left)
        job.gang = Gang(tuple(in_order(members)), self._next_generation(), self._spec.step_timeout_s)
        self._gangs[job.gang.generation] = job.gang
        self._busy.add(job.gang.generation)
        self._spawn(self._serve(job, job.gang, form=True))

    async def _serve(self, job: Job, gang: Gang, *, form: bool) -> None:
        """Run one job on one gang and put both where they belong afterwards."""
        name = gang.generation
        if form and not await self._form(job, gang):
            return
        if job.cancelled:
            outcome = Outcome(error=Cancelled(f"{job.order.title} was cancelled before it began"))
        else:
            job.started_s = time.monotonic()
            self.clock.lease(name, gang.width, job.started_s)
            outcome = await gang.run(job.order)
            self.clock.release(name, time.monotonic())
        self._running.pop(job.order.ticket, None)
        if job.go_on(outcome):
            log.warning("%s; %s goes on from its snapshot", outcome.error, job.order.title)
            self.tally.resumed += 1
            self._queue.insert(0, job)
        else:
            self._settle(job, job.answer_of(gang, outcome))
        if outcome.after == "replace":
            self._scrap(gang)
            return
        if outcome.after == "reform" and not await self._reform(gang):
            return
        self._busy.discard(gang.generation)
        self._plan()

    async def _form(self, job: Job, gang: Gang) -> bool:
        """Form the gang's group; failing that, replace its workers and let the job wait at the front again."""
        try:
            await gang.form(gang.generation)
        except GangError as error:
            log.warning("%s", error)
            gang.kill()
            job.tries += 1
            del self._running[job.order.ticket]
            if job.tries < FORM_TRIES and not job.cancelled:
                job.gang = None
                self._queue.insert(0, job)
            else:
                self._settle(job, Answer(error=Cancelled(str(error)) if job.cancelled else error))
            self._scrap(gang)
            return False
        return True

    async def _reform(self, gang: Gang) -> bool:
        old = gang.generation
        try:
            await gang.form(self._next_generation())
        except GangError as error:
            log.warning("%s", error)
            gang.kill()
            gang.generation = old
            self._scrap(gang)
            return False
        self._gangs[gang.generation] = self._gangs.pop(old)
        self._busy.add(gang.generation)
        self._busy.discard(old)
        return True

    def _settle(self, job: Job, answer: Answer) -> None:
        self.tally.count(answer.error)
        job.finish(answer)

    def _scrap(self, gang: Gang) -> None:
        """Forget a gang whose workers are killed, and replace them."""
        self._gangs.pop(gang.generation, None)
        self._busy.discard(gang.generation)
        self._spawn(self._replace(list(gang.members)))

    async def _replace(self, members: list[Member]) -> None:
        """Load fresh workers in the place of dead ones."""
        self._replacing += 1
        try:
            fresh = await asyncio.gather(
                *(self._fleet.replace(member.index) for member in members), return_exceptions=True
            )
        finally:
            self._replacing -= 1
        self._free = in_order(self._free + [member for member in fresh if isinstance(member, Member)])
        failures = [failure for failure in fresh if isinstance(failure, BaseException)]
        if any(isinstance(failure, BundleLost) for failure in failures):
            await self._renew(str(failures[0]))
        elif failures:
            self._fail(str(failures[0]))
        else:
            self._plan()

    async def _renew(self, why: str) -> None:
        """Reserve all bundles anew, once the videos that still run have ended."""
        if self.phase != "ready":
            return
        log.warning("%s; the placement group is renewed", why)
        self.phase = "renewing"
        while self._busy or self._replacing:
            await asyncio.sleep(0.2)
        self._gangs.clear()
        self._free.clear()
        await self._bring_up(self._fleet.renew)

    async def _bring_up(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            for attempt in range(RENEW_TRIES):
                try:
                    await start()
                    break
                except BundleLost:
                    if attempt == RENEW_TRIES - 1:
                        raise
                    start = self._fleet.renew
        except ClusterError as error:
            self._fail(str(error))
            return
        self._free = in_order(self._fleet.members.values())
        self.phase = "ready"
        self._plan()

    def _fail(self, problem: str) -> None:
        """Take no more requests; those that run may end."""
        if self.phase == "closing":
            return
        log.error("%s", problem)
        self.phase, self.problem = "failed", problem
        for job in self._queue:
            self._settle(job, Answer(error=ClusterError(problem)))
        self._queue.clear()

    def _next_generation(self) -> int:
        self.generation += 1
        return self.generation

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the pool failed", exc_info=task.exception())
            self._fail(f"the pool failed: {task.exception()!r}")
            for job in self._running.values():
                job.finish(Answer(error=ClusterError(self.problem)))
