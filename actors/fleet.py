"""The workers of a domain: their placement group, their models, and fresh ones for those that are lost."""

import asyncio
import contextlib
import logging
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.member import Member
from actors.spec import PoolSpec
from actors.worker import RemoteWorker
from cluster import placement
from cluster.errors import ClusterError

log = logging.getLogger("pabcast.fleet")

PLACE_TIMEOUT_S = 1800.0
"""How long a busy or growing cluster may take to give the bundles."""
ARRIVE_TIMEOUT_S = 60.0
"""How long a process may take to start in a bundle that is there."""
LOAD_TIMEOUT_S = 1800.0
"""How long a model may take to load."""
REPLACE_TRIES = 3
_DEATH_TIMEOUT_S = 5.0


class BundleLost(ClusterError):
    """A worker cannot start in its bundle, so that the whole placement group must be renewed."""


class Fleet:
    """Starts, replaces and ends the workers of one pool."""

    def __init__(self, spec: PoolSpec) -> None:
        self._spec = spec
        self._placement: Any = None
        self.members: dict[int, Member] = {}

    async def start(self) -> None:
        """Reserve the placement group and load every model.

        Raises:
            ClusterError: the cluster cannot hold the workers, or one cannot load the model.
        """
        self._placement = await placement.place(self._spec.demand, PLACE_TIMEOUT_S)
        # All processes at once: an interpreter, torch and the weights take seconds each.
        await asyncio.gather(*(self._start(index) for index in range(self._spec.workers)))

    async def replace(self, index: int) -> Member:
        """Kill what is left of a worker and load a fresh one in the same bundle.

        Raises:
            BundleLost: no process starts there; `renew` the fleet.
            ClusterError: the model cannot be loaded, tried three times.
        """
        for _ in range(REPLACE_TRIES - 1):
            self.members[index].kill()
            try:
                return await self._start(index)
            except BundleLost:
                raise
            except ClusterError as error:
                log.warning("%s", error)
        self.members[index].kill()
        return await self._start(index)

    async def renew(self) -> None:
        """Give all bundles back, reserve them anew and load every model again; raises as `start`."""
        await self.close()
        await self.start()

    async def close(self) -> None:
        """Kill every worker and give the bundles back; returns when the processes are gone."""
        for member in self.members.values():
            member.kill()
        gone = (self._death(member) for member in self.members.values())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*gone), _DEATH_TIMEOUT_S)
        self.members.clear()
        if self._placement is not None:
            placement.release(self._placement)
            self._placement = None

    async def dead(self, members: list[Member]) -> list[Member]:
        """Those of `members` whose processes are gone."""
        asked = asyncio.gather(*(member.handle.about.remote() for member in members), return_exceptions=True)
        try:
            answers = await asyncio.wait_for(asked, _DEATH_TIMEOUT_S)
        except TimeoutError:
            return []
        pairs = zip(members, answers, strict=True)
        return [member for member, answer in pairs if isinstance(answer, ray.exceptions.RayActorError)]

    async def _start(self, index: int) -> Member:
        member = Member(index=index, handle=self._launch(index))
        self.members[index] = member
        try:
            about = await asyncio.wait_for(member.handle.about.remote(), ARRIVE_TIMEOUT_S)
            member.pid, member.node = about.pid, about.node
            problem = await asyncio.wait_for(member.handle.load.remote(), LOAD_TIMEOUT_S)
        except (TimeoutError, ray.exceptions.RayActorError) as error:
            arrived = f"in pid {member.pid} on node {member.node[:8]}" if member.pid else "in its bundle"
            member.kill()
            what = str(error).strip().splitlines()[:1] or ["it took too long"]
            kind = ClusterError if member.pid else BundleLost
            raise kind(f"worker {index} did not start {arrived}: {what[0]}") from error
        if problem:
            raise ClusterError(f"worker {index} on node {member.node[:8]}: {problem}")
        member.loaded = True
        return member

    def _launch(self, index: int) -> Any:
        resources = dict(self._spec.demand.bundle)
        strategy = PlacementGroupSchedulingStrategy(self._placement, placement_group_bundle_index=index)
        options = RemoteWorker.options(
            num_cpus=resources["CPU"],
            num_gpus=resources.get("GPU", 0),
            scheduling_strategy=strategy,
            max_restarts=0,
        )
        return options.remote(self._spec)

    async def _death(self, member: Member) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            while True:
                await member.handle.about.remote()
                await asyncio.sleep(0.05)
