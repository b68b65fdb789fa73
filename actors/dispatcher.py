"""The dispatcher: brings waiting requests and workers together."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from actors.busy_clock import BusyClock
from actors.domain import Domain
from actors.domains import Domains
from actors.gang import Gang, Outcome
from actors.gangs import Gangs
from actors.job import Cause, Job
from actors.member import Member, in_order
from actors.order import Answer
from actors.queue import JobQueue
from actors.spec import PoolSpec
from actors.tally import Tally
from actors.tasks import Tasks
from cluster.autoscaler import Backlog
from cluster.errors import Cancelled, ClusterError, GangError, HandedOver
from cluster.placement import living_nodes
from cluster.plan import Priority, Start, Taking, Widen
from cluster.planner import plan

log = logging.getLogger("pabcast.pool")

GATHER_S = 0.05
"""How long the first requests after a pause wait for others, so that few are not taken for all there are."""


Made = Callable[[Job, Gang, Outcome, float], None]
"""Hears of each video that was made, and in how many seconds."""


class Dispatcher:
    """The queue and the gangs of one pool; all of it on one event loop."""

    def __init__(self, spec: PoolSpec, keeper: Any, made: Made = lambda *_: None) -> None:
        self._spec = spec
        self._tasks = Tasks(self.fail)
        self._running: dict[str, Job] = {}
        self._served: Mapping[Priority, float] = {}
        self._planning: asyncio.TimerHandle | None = None
        self.queue = JobQueue()
        self.gangs = Gangs()
        self.domains = Domains(spec, keeper, self.wake, self.fail)
        self.generation = 0
        self._made = made
        self.problem = ""
        self.tally = Tally()
        self.clock = BusyClock()

    @property
    def running(self) -> tuple[Job, ...]:
        """The requests that have left the queue and are not done."""
        return tuple(self._running.values())

    def backlog(self) -> Backlog:
        """What waits and runs, in predicted worker-seconds where there are predictions."""
        orders = [job.order for job in (*self.queue, *self.running)]
        return Backlog(
            requests=len(orders),
            worker_seconds=sum(order.width * order.seconds.get(order.width, 0.0) for order in orders),
            widest=max((order.width for order in orders), default=0),
        )

    def submit(self, job: Job) -> None:
        """Put a request in the queue; its answer comes through `job.answer`."""
        if self.problem:
            job.finish(Answer(error=ClusterError(self.problem)))
            return
        self.queue.put(job)
        self.wake(GATHER_S if job.order.seconds and not self.gangs.any_busy else 0.0)

    def cancel(self, wanted: Callable[[Job], bool]) -> int:
        """Take requests out of the queue, or stop them between two steps; return how many."""
        waiting = self.queue.remove(wanted)
        running = [job for job in self._running.values() if wanted(job) and not job.cancelled]
        for job in waiting:
            self._settle(job, Answer(error=Cancelled(f"{job.order.title} was cancelled while it waited")))
        for job in running:
            job.cancelled = True
            if job.gang and job.started_s is not None:
                self._tasks.spawn(job.gang.stop(job.order))
        if waiting:
            self.wake()
        return len(waiting) + len(running)

    def find(self, ticket: str) -> Job | None:
        """The request with that ticket, if it has left the queue and is not done."""
        return self._running.get(ticket)

    def wake(self, delay_s: float = 0.0) -> None:
        """Plan soon."""
        if self._planning is None and not self.problem:
            self._planning = asyncio.get_running_loop().call_later(delay_s, self._plan)

    def look_round(self, draining: Mapping[str, float]) -> None:
        """Called now and then: videos leave the nodes that are about to go, and idle workers are used."""
        now = time.monotonic()
        self.clock.size(self.domains.ready_workers, now)
        for ready in self.domains.ready:
            left = min((draining[m.node] for m in ready.members.values() if m.node in draining), default=None)
            if left is not None:
                self.domains.drain(ready.name, left)
        for job in self.running:
            gang = job.gang
            domain = self.domains[gang.domain] if gang else None
            if gang and domain and domain.phase == "draining" and job.started_s and not gang.leaving:
                left_s = job.left_s(now).get(gang.width)
                if left_s is None or now + left_s + self._spec.handover_margin_s > domain.deadline_s:
                    self._tasks.spawn(gang.hand_over(job.order))
        self.gangs.drop_idle({domain.name for domain in self.domains.ready})
        self.domains.close_drained()
        self.wake()

    async def check_idle(self) -> None:
        """Replace the workers that died while they had nothing to do."""
        for domain in self.domains.ready:
            busy = self.gangs.busy_members
            asked = [member for member in domain.members.values() if member.loaded and not member.dead]
            for member in await domain.dead([member for member in asked if member not in busy]):
                if member.dead or member in self.gangs.busy_members:
                    continue
                log.warning("worker %d (pid %d) died while idle", member.index, member.pid)
                member.dead = True
                domain.free = [other for other in domain.free if other is not member]
                domain.give_back(self.gangs.lose(member))
                self.domains.replace([member])

    def close(self, reason: str) -> None:
        """Answer everybody and start nothing more."""
        self.problem = reason
        for job in [*self.queue, *self._running.values()]:
            job.finish(Answer(error=Cancelled(reason)))
        self.queue.remove(lambda job: True)
        self._tasks.cancel()

    def fail(self, problem: str) -> None:
        """Tell everybody that waits; what runs is left to end."""
        if self.problem:
            return
        log.error("%s", problem)
        self.problem = problem
        for job in self.queue.remove(lambda job: True):
            self._settle(job, Answer(error=ClusterError(problem)))

    def _plan(self) -> None:
        """Start whatever can start now."""
        self._planning = None
        self.gangs.drop_idle({domain.name for domain in self.domains.ready})
        states = [self.gangs.state(domain) for domain in self.domains.ready]
        spare = sum(state.free + sum(gang.width for gang in state.idle) for state in states)
        if not spare or self.problem:
            return
        decision = plan(self.queue.lines(spare), states, self._spec.shares, self._served)
        self._served = decision.served
        for start in decision.starts:
            self._start(self.queue.take(start.ticket), start)
        for widen in decision.widens:
            self._widen(widen)

    def _start(self, job: Job, start: Start) -> None:
        log.info("%s starts: %s", job.order.title, start.reason)
        if isinstance(start.on, Taking):
            self._begin(job, self._take(start.on), reshaped=bool(start.on.dissolve))
        else:
            self._lease(job, self.gangs[start.on], form=False)

    def _take(self, taking: Taking) -> list[Member]:
        """Take workers off gangs and off the domain's free ones; what is left over is free."""
        domain = self.domains[taking.domain]
        members = self.gangs.dissolve(taking.dissolve)
        members += [domain.free.pop(0) for _ in range(taking.free_workers)]
        domain.give_back(members[taking.width :])
        return members[: taking.width]

    def _begin(self, job: Job, members: list[Member], *, reshaped: bool) -> None:
        """Form a gang for a job."""
        gang = Gang(tuple(in_order(members)), self._next_generation(), self._spec.step_limit_s)
        self.tally.reshaped += reshaped
        self._lease(job, gang, form=True)

    def _lease(self, job: Job, gang: Gang, *, form: bool) -> None:
        job.gang, job.form_s = gang, 0.0
        self._running[job.order.ticket] = job
        self.gangs.lease(gang, job)
        self.domains[gang.domain].busy += 1
        self._tasks.spawn(self._serve(job, gang, form=form))

    def _widen(self, widen: Widen) -> None:
        gang = self.gangs[widen.gang]
        job = self.gangs.job(gang)
        log.info("%s moves to %d workers: %s", job.order.title, widen.width, widen.reason)
        gang.extra = self._take(widen.taking)
        self._tasks.spawn(gang.hand_over(job.order))

    async def _serve(self, job: Job, gang: Gang, *, form: bool) -> None:
        """Run one job on one gang and put both where they belong afterwards."""
        domain = self.domains[gang.domain]
        unformed = await self._form(job, gang) if form else None
        outcome = unformed or await self._run(job, gang)
        self._running.pop(job.order.ticket, None)
        extra, gang.extra = gang.extra, []
        if isinstance(outcome.error, HandedOver) and outcome.snapshot and extra and not job.cancelled:
            self._free(gang, domain, keep=False)
            self.tally.widened += 1
            job.hand_over(outcome)
            self._begin(job, [*gang.members, *extra], reshaped=False)
            return
        domain.give_back([member for member in extra if not member.dead])
        self._put(job, gang, outcome, "forming" if unformed else None)
        if outcome.after == "reform" and not await self._reform(gang):
            outcome = Outcome(error=outcome.error, after="replace")
        self._free(gang, domain, keep=outcome.after != "replace" and domain.phase == "ready")
        if outcome.after == "replace":
            self.domains.replace(list(gang.members))
        self.wake()

    async def _run(self, job: Job, gang: Gang) -> Outcome:
        if job.cancelled:
            return Outcome(error=Cancelled(f"{job.order.title} was cancelled before it began"))
        begun = time.monotonic()
        job.start(begun)
        self.clock.size(self.domains.ready_workers, begun)
        self.clock.lease(gang.name, gang.width, begun)
        try:
            outcome = await gang.run(job.order)
        finally:
            self.clock.release(gang.name, time.monotonic())
        self.tally.snapshots += outcome.snapshots
        if outcome.error is None:
            self._made(job, gang, outcome, time.monotonic() - begun)
        return outcome

    def _put(self, job: Job, gang: Gang, outcome: Outcome, cause: Cause | None) -> None:
        """Answer a job, or let it wait for another gang."""
        if not isinstance(outcome.error, GangError | HandedOver):
            self._settle(job, job.answer_of(gang, outcome))
            return
        if self.problem:  # nothing starts any more, so it would wait for ever
            self._settle(job, Answer(error=ClusterError(self.problem)))
            return
        before, cause = job.order.resume, cause or self._cause(gang, outcome)
        if not job.try_again(outcome, cause):
            self._settle(job, job.answer_of(gang, outcome))
            return
        log.warning("%s: %s is made again", outcome.error, job.order.title)
        self.tally.retries[cause] += 1
        self.tally.resumed += job.order.resume is not before
        self.tally.handed_over += isinstance(outcome.error, HandedOver)
        job.gang, job.started_s = None, None
        self.queue.put_back(job)

    def _cause(self, gang: Gang, outcome: Outcome) -> Cause:
        """What a gang was lost to."""
        if isinstance(outcome.error, HandedOver) or self.domains[gang.domain].phase in ("draining", "closing"):
            return "drain"
        return "rank" if all(member.node in living_nodes() for member in gang.members) else "node"

    async def _form(self, job: Job, gang: Gang) -> Outcome | None:
        """Form the gang's group; None if it is there."""
        begun = time.monotonic()
        try:
            await gang.form(gang.generation)
        except GangError as error:
            gang.kill()
            return Outcome(error=error, after="replace")
        job.form_s = time.monotonic() - begun
        return None

    async def _reform(self, gang: Gang) -> bool:
        try:
            await gang.form(self._next_generation())
        except GangError as error:
            log.warning("%s", error)
            gang.kill()
            return False
        return True

    def _free(self, gang: Gang, domain: Domain, *, keep: bool) -> None:
        self.gangs.free(gang, keep=keep)
        domain.busy -= 1
        domain.idle_since_s = time.monotonic()

    def _settle(self, job: Job, answer: Answer) -> None:
        self.tally.count(answer.error)
        job.finish(answer)

    def _next_generation(self) -> int:
        self.generation += 1
        return self.generation
