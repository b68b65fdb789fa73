"""The keeper: owns a pool's placement groups and workers, so that they outlive a restart of the pool, not the pool.

Ray removes what an actor's process has made when that process dies. A pool whose process dies is started again by
Ray; its keeper lives on meanwhile, and with it the models that its workers hold. When the pool is gone for good, so
is the keeper, and then its placement groups and workers.
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.sleeper import RemoteSleeper
from actors.spec import PoolSpec
from actors.worker import RemoteWorker
from cluster import placement
from cluster.demand import Market
from cluster.errors import ClusterError

log = logging.getLogger("pabcast.keeper")

PLACE_TIMEOUT_S = 1800.0
"""How long a busy cluster may take to give the bundles; one that can grow may take any time."""
_LOOK_S = 1.0
_MISSES = 3
"""How often in a row the pool may not be found before it counts as gone."""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What the keeper has for one domain."""

    domain: int
    market: Market
    placed: bool
    age_s: float
    """Since it was placed; 0 before."""
    handles: dict[int, Any]
    """Workers by their bundle."""


class Keeper:
    """Reserves placement groups and starts workers in them, as the pool says."""

    def __init__(self, spec: PoolSpec, pool: str, namespace: str) -> None:
        self._spec = spec
        self._pool = pool
        self._namespace = namespace
        self._markets: dict[int, Market] = {}
        self._placing: dict[int, asyncio.Task[Any]] = {}
        self._handles: dict[int, dict[int, Any]] = {}
        self._placed_s: dict[int, float] = {}
        self._closed_seconds = 0.0
        self._watching = asyncio.ensure_future(self._watch())

    async def place(self, domain: int, market: Market) -> None:
        """Reserve a domain's bundles; returns when they are there, also to a pool that asks again.

        Raises:
            ClusterError: the cluster cannot hold them.
        """
        if domain not in self._placing:
            self._markets[domain] = market
            reserve = placement.place(self._spec.demand, PLACE_TIMEOUT_S, market)
            self._placing[domain] = asyncio.ensure_future(reserve)
        placing = self._placing[domain]
        try:
            await asyncio.shield(placing)
            self._placed_s.setdefault(domain, time.monotonic())
        except asyncio.CancelledError:
            raise ClusterError(f"domain {domain} was given back before it was there") from None
        except ClusterError:
            if self._placing.get(domain) is placing:
                self._forget(domain)
            raise

    async def launch(self, domain: int, bundle: int) -> Any:
        """Kill what is left of the worker in a bundle and start a fresh one; its handle."""
        if domain not in self._placing:
            raise ClusterError(f"domain {domain} was given back")
        group = await self._placing[domain]
        handles = self._handles.setdefault(domain, {})
        _kill(handles.pop(bundle, None))
        resources = dict(self._spec.demand.bundle)
        actor = RemoteWorker if self._spec.simulated_s is None else RemoteSleeper
        handles[bundle] = actor.options(
            num_cpus=resources["CPU"],
            num_gpus=resources.get("GPU", 0),
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=bundle),
            max_restarts=0,
        ).remote(self._spec)
        return handles[bundle]

    async def drop(self, domain: int) -> None:
        """Kill a domain's workers and give its bundles back, or ask for them no longer."""
        for handle in self._handles.pop(domain, {}).values():
            _kill(handle)
        placing = self._placing.get(domain)
        self._forget(domain)
        if placing is None:
            return
        placing.cancel()
        with contextlib.suppress(BaseException):
            placement.release(await placing)

    async def inventory(self) -> tuple[Holding, ...]:
        """What there is, for a pool that starts again."""
        now = time.monotonic()
        return tuple(
            Holding(
                domain=domain,
                market=self._markets[domain],
                placed=placing.done(),
                age_s=now - self._placed_s.get(domain, now),
                handles=dict(self._handles.get(domain, {})),
            )
            for domain, placing in self._placing.items()
        )

    async def closed_seconds(self) -> float:
        """What the bundles that were given back have cost, in worker-seconds."""
        return self._closed_seconds

    def _forget(self, domain: int) -> None:
        now = time.monotonic()
        self._closed_seconds += (now - self._placed_s.pop(domain, now)) * self._spec.workers_of_a_domain
        self._placing.pop(domain, None)
        self._markets.pop(domain, None)

    async def _watch(self) -> None:
        """End with the pool: its name is there while it runs or is being started again."""
        misses = 0
        while misses < _MISSES:
            await asyncio.sleep(_LOOK_S)
            try:
                await asyncio.to_thread(ray.get_actor, self._pool, self._namespace)
                misses = 0
            except ValueError:
                misses += 1
            except ray.exceptions.RayError as error:
                log.warning("looking for the pool: %s", error)
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def _kill(handle: Any) -> None:
    if handle is not None:
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.kill(handle, no_restart=True)


RemoteKeeper: Any = ray.remote(Keeper)
