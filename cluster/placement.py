"""Where the workers of a domain live: one placement group, and whether the cluster can hold it."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from cluster.errors import ClusterError

Resources = dict[str, float]

_GRACE_S = 3.0
"""How long a cluster may still be starting before too few resources count as missing."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """`workers` equal bundles of resources that belong together."""

    workers: int
    bundle: tuple[tuple[str, float], ...]

    @property
    def total(self) -> Resources:
        """What all bundles take together."""
        return {name: amount * self.workers for name, amount in self.bundle}

    def __str__(self) -> str:
        bundle = " + ".join(f"{amount:g} {name}" for name, amount in self.bundle)
        return f"{self.workers} workers with {bundle} each"


def missing(demand: Demand, have: Resources) -> Resources:
    """What `have` lacks for `demand`, by resource; empty if it suffices."""
    return {name: need - have.get(name, 0.0) for name, need in demand.total.items() if need > have.get(name, 0.0)}


def fits_one_node(demand: Demand, nodes: list[Resources]) -> bool:
    """Whether some single node could hold all bundles."""
    return any(not missing(demand, node) for node in nodes)


def bundles_that_fit(demand: Demand, nodes: list[Resources]) -> int:
    """How many bundles the nodes can hold at once; a bundle does not span nodes."""
    return sum(
        min(int(node.get(name, 0.0) // amount) for name, amount in demand.bundle if amount > 0) for node in nodes
    )


def cluster_nodes() -> list[Resources]:
    """The resources of each living node."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [dict(node["Resources"]) for node in nodes if node["Alive"]]


def cluster_total(resource: str) -> float:
    """How much of a resource the living nodes have together."""
    return sum(node.get(resource, 0.0) for node in cluster_nodes())


def cluster_free(*resources: str) -> str:
    """What is free of some resources, as `2 CPU, 0 GPU`."""
    free: Resources = ray.available_resources()  # type: ignore[no-untyped-call]
    return ", ".join(f"{free.get(name, 0.0):g} {name}" for name in resources)


def can_grow() -> bool:
    """Whether an autoscaler may add nodes to this cluster."""
    # Ray has no public question for it; Ray Data asks the same way.
    return ray._private.state.state.get_max_resources_from_cluster_config() is not None


async def place(demand: Demand, timeout_s: float) -> PlacementGroup:
    """Reserve the bundles of `demand`, on one node if one can hold them.

    Raises:
        ClusterError: the cluster is too small (told within seconds unless it can grow), or is busy for
            longer than `timeout_s`.
    """
    strategy = "STRICT_PACK" if fits_one_node(demand, cluster_nodes()) else "PACK"
    group: PlacementGroup = placement_group([dict(demand.bundle)] * demand.workers, strategy=strategy)
    begun = time.monotonic()
    try:
        while not await asyncio.to_thread(group.wait, 1):
            waited_s = time.monotonic() - begun
            nodes = cluster_nodes()
            if waited_s >= _GRACE_S and bundles_that_fit(demand, nodes) < demand.workers and not can_grow():
                raise ClusterError(too_small(demand, nodes))
            if waited_s >= timeout_s:
                raise ClusterError(_too_busy(demand, waited_s))
    except BaseException:
        remove_placement_group(group)
        raise
    return group


def release(group: Any) -> None:
    """Give the bundles back; actors in them die."""
    remove_placement_group(group)


def too_small(demand: Demand, nodes: list[Resources]) -> str:
    """The sentence that says what `nodes` lack for `demand`, and the way out."""
    names = [name for name, _ in demand.bundle]
    if "GPU" in names and not any(node.get("GPU") for node in nodes):
        return (
            f"{demand} were asked for, and the cluster has no GPU; use cluster.device=cpu (--device cpu) or add nodes"
        )
    total = ", ".join(f"{sum(node.get(name, 0.0) for node in nodes):g} {name}" for name in names)
    return (
        f"{demand} were asked for, and the cluster has {total} on {len(nodes)} node(s), "
        f"enough for {bundles_that_fit(demand, nodes)}; lower cluster.workers or add nodes"
    )


def _too_busy(demand: Demand, waited_s: float) -> str:
    have = cluster_free(*(name for name, _ in demand.bundle))
    return (
        f"{demand} were asked for, and after {waited_s:.0f} s only {have} of the cluster are free; "
        "end what else runs there, lower cluster.workers or add nodes"
    )
