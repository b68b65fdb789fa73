"""All domains of a pool: brought up, renewed, drained and given back, as the autoscaling policy says."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from actors.domain import BundleLost, Domain, NotLoaded
from actors.keeper import Holding
from actors.member import Member
from actors.spec import PoolSpec
from actors.tasks import StartAgain, Tasks
from cluster.autoscaler import Backlog, DomainView, ScaleDecision, scale
from cluster.demand import Market
from cluster.errors import ClusterError

log = logging.getLogger("pabcast.domains")

RENEW_TRIES = 3
"""How often in a row the bundles of a domain may be lost."""
ASK_AGAIN_S = 10.0
"""After a domain could not be had."""
LOAD_TRIES = 3
"""How often in a row a model may fail to load once it has worked, where no other worker has it."""


class Domains:
    """Keeps as many domains as the policy wants; says `changed` when workers come, and `failed` when none can."""

    def __init__(self, spec: PoolSpec, keeper: Any, changed: Callable[[], None], failed: Callable[[str], None]) -> None:
        self._spec = spec
        self._keeper = keeper
        self._changed = changed
        self._failed = failed
        self._tasks = Tasks(failed)
        self._domains: dict[int, Domain] = {}
        self._next = 0
        self._not_before = 0.0
        self._closed_seconds = 0.0
        self._last_reason = ""
        self._worked = False
        self._unloaded = 0
        """How often in a row a domain was lost because its model did not load."""
        self.started = asyncio.Event()
        """Set once the least workers are ready, for the first time."""

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._domains.values())

    def __getitem__(self, name: int) -> Domain:
        return self._domains[name]

    @property
    def ready(self) -> list[Domain]:
        """Those that take requests."""
        return [domain for domain in self if domain.phase == "ready"]

    @property
    def ready_workers(self) -> int:
        """The workers that hold a model."""
        return sum(member.loaded and not member.dead for domain in self for member in domain.members.values())

    def worker_seconds(self, now: float) -> float:
        """What all bundles have cost so far."""
        return self._closed_seconds + sum(domain.worker_seconds(now) for domain in self)

    def scale(self, backlog: Backlog) -> ScaleDecision:
        """Ask for domains and give some back, as the policy says."""
        now = time.monotonic()
        decision = scale(
            self._spec.scale, backlog, tuple(_view(domain, now) for domain in self), self.worker_seconds(now)
        )
        if decision.reason != self._last_reason and (decision.ask or decision.release):
            log.info("%s", decision.reason)
        self._last_reason = decision.reason
        if decision.spent and backlog.requests:
            self._failed(f"{decision.reason}; it needs a larger cluster.budget_gpu_hours")
        if now >= self._not_before:
            # Both or neither: what is asked may stand for what is released.
            for name in decision.release:
                self._tasks.spawn(self._close(self._domains[name]))
            for market in decision.ask:
                self.bring_up(self._next, market)
        if not self.started.is_set() and self._least_are_ready():
            self.started.set()
        return decision

    def adopt(self, holding: Holding) -> Coroutine[Any, Any, list[Member]]:
        """Take back a domain that outlived the pool's last process; returns its members to be replaced."""
        self._worked = True
        return self._known(holding.domain, holding.market).adopt(holding)

    def spent_before(self, closed_seconds: float) -> None:
        """Count what the pool's last process had given back, lest a restart renew the budget."""
        self._closed_seconds += closed_seconds

    def bring_up(self, name: int, market: Market) -> None:
        """Ask for a domain, or go on with one that the pool's last process had asked for: the keeper knows its name."""
        domain = self._known(name, market)
        self._tasks.spawn(self._bring_up(domain, domain.start))

    def replace(self, members: list[Member]) -> None:
        """Load fresh workers in the place of dead ones, where that is still wanted."""
        domain = self._domains.get(members[0].domain) if members else None
        if domain is not None and domain.phase == "ready":
            domain.replacing += 1
            self._tasks.spawn(self._replace(domain, members))

    def drain(self, name: int, seconds_left: float) -> None:
        """A domain's node is about to go: no request starts there any more."""
        domain = self._domains[name]
        log.warning("domain %d is drained: its node goes in %.0f s", name, seconds_left)
        domain.phase = "draining"
        domain.deadline_s = time.monotonic() + seconds_left

    def close_drained(self) -> None:
        """Give back the draining domains whose last request has left."""
        for domain in self:
            if domain.phase == "draining" and not domain.busy:
                domain.phase = "closing"
                self._tasks.spawn(self._close(domain))

    async def close(self) -> None:
        """Give everything back."""
        self._tasks.cancel()
        await asyncio.gather(*(domain.close() for domain in self))

    def _known(self, name: int, market: Market) -> Domain:
        domain = self._domains[name] = Domain(name, self._spec, self._keeper, market)
        self._next = max(self._next, name + 1)
        return domain

    async def _bring_up(self, domain: Domain, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            for attempt in range(RENEW_TRIES):
                try:
                    await start()
                    break
                except BundleLost:
                    if attempt == RENEW_TRIES - 1:
                        raise
                    self._settle(domain)
                    start = domain.renew
        except ClusterError as error:
            if domain.phase != "closing":
                await self._lose(domain, error)
            return
        self._worked, self._unloaded = True, 0
        if self._least_are_ready():
            self.started.set()
        self._changed()

    async def _replace(self, domain: Domain, members: list[Member]) -> None:
        try:
            fresh = await asyncio.gather(*(domain.replace(member.bundle) for member in members), return_exceptions=True)
        finally:
            domain.replacing -= 1
        domain.give_back([member for member in fresh if isinstance(member, Member)])
        failures = [failure for failure in fresh if isinstance(failure, BaseException)]
        for failure in failures:
            if isinstance(failure, StartAgain):
                raise failure
        if any(isinstance(failure, BundleLost) for failure in failures):
            await self._renew(domain, str(failures[0]))
        elif failures:
            await self._lose(domain, failures[0])
        else:
            self._changed()

    async def _renew(self, domain: Domain, why: str) -> None:
        """Reserve all bundles of a domain anew, once the videos that still run there have ended."""
        if domain.phase != "ready":
            return
        log.warning("%s; the placement group of domain %d is renewed", why, domain.name)
        await self._leave(domain)
        self._settle(domain)
        await self._bring_up(domain, domain.renew)

    async def _lose(self, domain: Domain, problem: BaseException) -> None:
        """A domain cannot be had; that is the pool's end unless others work, or did before.

        A model that cannot be loaded any more is not asked for without end.
        """
        self._unloaded += isinstance(problem, NotLoaded)
        others = any(other is not domain for other in self.ready)
        if self._spec.is_fixed or not self._worked or (self._unloaded >= LOAD_TRIES and not others):
            self._failed(str(problem))
        else:
            pause_s = ASK_AGAIN_S * 2 ** min(max(self._unloaded - 1, 0), 5)
            log.warning("%s; asking again in %g s", problem, pause_s)
            self._not_before = time.monotonic() + pause_s
        if domain.phase == "ready":
            await self._leave(domain)
        await self._close(domain)

    async def _leave(self, domain: Domain) -> None:
        """Start nothing more in a domain, and return once the videos that run there have ended."""
        domain.phase = "renewing"
        self._changed()
        while domain.busy or domain.replacing:
            await asyncio.sleep(0.2)

    async def _close(self, domain: Domain) -> None:
        domain.phase = "closing"
        self._changed()
        self._settle(domain)
        await domain.close()
        self._domains.pop(domain.name, None)

    def _settle(self, domain: Domain) -> None:
        """Count what a domain's bundles have cost, once, as they are given back."""
        self._closed_seconds += domain.worker_seconds(time.monotonic())
        domain.placed_s = None

    def _least_are_ready(self) -> bool:
        return sum(domain.width for domain in self.ready) >= self._spec.scale.min_workers


def _view(domain: Domain, now: float) -> DomainView:
    phases: Any = {"renewing": "starting", "closing": "draining"}
    idle_s = 0.0 if domain.busy or domain.phase != "ready" else now - domain.idle_since_s
    return DomainView(
        name=domain.name,
        workers=domain.width,
        phase=phases.get(domain.phase, domain.phase),
        market=domain.market,
        age_s=now - domain.asked_s,
        idle_s=idle_s,
    )
