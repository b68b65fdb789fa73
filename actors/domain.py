"""The workers of a domain: their placement group, their models, and fresh ones for those that are lost."""

import asyncio
import contextlib
import logging
import time
from typing import Any, Literal

import ray

from actors.keeper import Holding
from actors.member import Member, in_order
from actors.spec import PoolSpec
from actors.tasks import StartAgain
from actors.worker import About
from cluster.demand import Market
from cluster.errors import ClusterError

log = logging.getLogger("pabcast.domain")

ARRIVE_TIMEOUT_S = 60.0
"""How long a process may take to start in a bundle that is there,"""
ARRIVE_EACH_S = 2.0
"""and how much longer for each other one of its domain that starts at the same time."""
LOAD_TIMEOUT_S = 1800.0
"""How long a model may take to load."""
START_TRIES = 3
_DEATH_TIMEOUT_S = 5.0

Phase = Literal["pending", "starting", "ready", "renewing", "draining", "closing"]


class BundleLost(ClusterError):
    """A worker cannot start in its bundle, so that the whole placement group must be renewed."""


class NotLoaded(ClusterError):
    """A worker cannot load its model."""


class WorkerLost(NotLoaded):
    """Its process ended while it loaded its model."""


class Domain:
    """Starts, replaces and ends the workers of one placement group; gangs do not reach beyond it."""

    def __init__(self, name: int, spec: PoolSpec, keeper: Any, market: Market) -> None:
        self.name = name
        self.market = market
        self.phase: Phase = "pending"
        self.members: dict[int, Member] = {}
        self.free: list[Member] = []
        """Those without a gang."""
        self.asked_s = self.idle_since_s = time.monotonic()
        self.placed_s: float | None = None
        self.deadline_s = float("inf")
        """When its nodes go, while it drains."""
        self.replacing = self.busy = 0
        """Workers that are being replaced; gangs with a request."""
        self._spec = spec
        self._keeper = keeper

    @property
    def width(self) -> int:
        """How many workers."""
        return self._spec.workers_of_a_domain

    async def start(self) -> None:
        """Reserve the placement group and load every model.

        Raises:
            BundleLost: a process did not start in its bundle; `renew`.
            ClusterError: the cluster cannot hold the workers, one cannot load the model, or dies of it three times.
        """
        await _kept(self._keeper.place.remote(self.name, self.market))
        self._refuse_if_closed()
        self.placed_s = self.placed_s or time.monotonic()
        self.phase = "starting"
        # All processes at once: an interpreter, torch and the weights take seconds each.
        starts = (self._start_again(bundle, WorkerLost) for bundle in range(self.width))
        fresh = await asyncio.gather(*starts, return_exceptions=True)
        failures = [failure for failure in fresh if isinstance(failure, BaseException)]
        if failures:
            raise next((failure for failure in failures if isinstance(failure, StartAgain)), failures[0])
        self._open(list(self.members.values()))

    async def adopt(self, holding: Holding) -> list[Member]:
        """Take back the workers that outlived the pool's last process; return those to be replaced."""
        await self._keeper.place.remote(self.name, self.market)
        self.placed_s = time.monotonic() - holding.age_s
        members = [self._member(bundle, handle) for bundle, handle in sorted(holding.handles.items())]
        self.members = {member.bundle: member for member in members}
        for bundle in range(self.width):
            self.members.setdefault(bundle, self._member(bundle, None))
        answers = await asyncio.gather(*(self._greet(member) for member in members), return_exceptions=True)
        for member, answer in zip(members, answers, strict=True):
            member.loaded = isinstance(answer, About) and answer.loaded
        lost = [member for member in self.members.values() if not member.loaded]
        self._open([member for member in self.members.values() if member.loaded])
        return lost

    async def replace(self, bundle: int) -> Member:
        """Kill what is left of a worker and load a fresh one in the same bundle.

        Raises:
            BundleLost: no process starts there; `renew` the domain.
            ClusterError: the model cannot be loaded, tried three times.
        """
        return await self._start_again(bundle, ClusterError)

    async def renew(self) -> None:
        """Give all bundles back, reserve them anew and load every model again.

        Raises:
            ClusterError: it was closed meanwhile; or as `start`.
        """
        self._refuse_if_closed()
        # Not "closing": the policy counts what is renewed as held, or it would ask for another in its place.
        self.phase = "renewing"
        await self._drop()
        self._refuse_if_closed()
        self.phase = "pending"
        self.asked_s, self.placed_s = time.monotonic(), None
        await self.start()

    async def close(self) -> None:
        """Kill every worker and give the bundles back; returns when the processes are gone."""
        self.phase = "closing"
        await self._drop()

    def _refuse_if_closed(self) -> None:
        if self.phase == "closing":
            raise ClusterError(f"domain {self.name} was given back")

    async def _drop(self) -> None:
        self.free = []
        members = [member for member in self.members.values() if member.handle is not None]
        with contextlib.suppress(ray.exceptions.RayError):
            await self._keeper.drop.remote(self.name)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(_death(member) for member in members)), _DEATH_TIMEOUT_S)
        self.members.clear()

    async def dead(self, members: list[Member]) -> list[Member]:
        """Those of `members` whose processes are gone."""
        asked = (asyncio.wait_for(member.handle.about.remote(), _DEATH_TIMEOUT_S) for member in members)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        pairs = zip(members, answers, strict=True)
        return [member for member, answer in pairs if isinstance(answer, ray.exceptions.RayActorError)]

    def give_back(self, members: list[Member]) -> None:
        """Members without a gang, of this domain's."""
        here = [member for member in members if self.members.get(member.bundle) is member]
        self.free = in_order(self.free + here)

    def worker_seconds(self, now: float) -> float:
        """What its bundles have cost so far."""
        return (now - self.placed_s) * self.width if self.placed_s is not None else 0.0

    def _open(self, members: list[Member]) -> None:
        self.free = in_order(members)
        self.idle_since_s = time.monotonic()
        self.phase = "ready"

    async def _start_again(self, bundle: int, passing: type[ClusterError]) -> Member:
        """Start a worker, three times if its problem may pass; without a bundle it does not."""
        for _ in range(START_TRIES - 1):
            try:
                return await self._start(bundle)
            except BundleLost:
                raise
            except passing as error:
                log.warning("%s", error)
        return await self._start(bundle)

    async def _start(self, bundle: int) -> Member:
        handle = await _kept(self._keeper.launch.remote(self.name, bundle))
        member = self.members[bundle] = self._member(bundle, handle)
        try:
            await self._greet(member)
            problem = await asyncio.wait_for(member.handle.load.remote(), LOAD_TIMEOUT_S)
        except (TimeoutError, ray.exceptions.RayActorError) as error:
            arrived = f"in pid {member.pid} on node {member.node[:8]}" if member.pid else "in its bundle"
            member.kill()
            what = str(error).strip().splitlines()[:1] or ["it took too long"]
            kind = _kind_of(error) if member.pid else BundleLost
            raise kind(f"worker {member.index} did not start {arrived}: {what[0]}") from error
        if problem:
            raise NotLoaded(f"worker {member.index} on node {member.node[:8]}: {problem}")
        member.loaded = True
        return member

    async def _greet(self, member: Member) -> About:
        about: About = await asyncio.wait_for(
            member.handle.about.remote(), ARRIVE_TIMEOUT_S + ARRIVE_EACH_S * self.width
        )
        member.pid, member.node = about.pid, about.node
        return about

    def _member(self, bundle: int, handle: Any) -> Member:
        return Member(index=self.name * self.width + bundle, domain=self.name, bundle=bundle, handle=handle)


async def _kept(answer: Any) -> Any:
    """What the keeper answers; `ClusterError` if it cannot do it, `StartAgain` if it is gone, and all it held."""
    try:
        return await answer
    except ray.exceptions.RayTaskError as error:
        raise ClusterError(str(error.cause)) from error
    except ray.exceptions.ActorDiedError as error:
        raise StartAgain("the pool's keeper died, and its workers with it") from error


def _kind_of(error: BaseException) -> type[ClusterError]:
    return WorkerLost if isinstance(error, ray.exceptions.RayActorError) else NotLoaded


async def _death(member: Member) -> None:
    with contextlib.suppress(ray.exceptions.RayError):
        while True:
            await member.handle.about.remote()
            await asyncio.sleep(0.05)
