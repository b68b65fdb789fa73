"""Where the workers of a domain live: one placement group, and whether the cluster can hold it."""

import asyncio
import json
import time
from collections import Counter
from typing import Any

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply  # type: ignore[attr-defined]
from ray.experimental.internal_kv import internal_kv_get_gcs_client
from ray.util.placement_group import NODE_ID_LABEL_KEY, PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.demand import Demand, Market, Resources
from cluster.errors import ClusterError

MARKET_LABEL = "ray.io/market-type"
"""Ray's own key; a node has it from `labels` of its node type (KubeRay: of its worker group) or from the environment
variable RAY_NODE_MARKET_TYPE. The first version of Ray's autoscaler starts nodes without regard to it."""
_MARKET_LABELS: dict[Market, str] = {"spot": "spot", "on_demand": "on-demand"}

_GRACE_S = 3.0
"""How long a cluster may still be starting before too few resources count as missing."""


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


def accelerators() -> list[str]:
    """The kinds of accelerators of the living nodes, as Ray names them (H200, A100-80G), the most frequent first."""
    prefix = "accelerator_type:"
    kinds = Counter(name.removeprefix(prefix) for node in cluster_nodes() for name in node if name.startswith(prefix))
    return [kind for kind, _ in kinds.most_common()]


def beside_us() -> NodeAffinitySchedulingStrategy:
    """Where an actor belongs that its starter cannot do without: on its node, which no autoscaler takes away."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def label_of_our_node() -> dict[str, str]:
    """`beside_us` for what takes a label selector."""
    return {NODE_ID_LABEL_KEY: ray.get_runtime_context().get_node_id()}


def living_nodes() -> set[str]:
    """The ids of the nodes that are alive, in hex."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {node["NodeID"] for node in nodes if node["Alive"]}


def cluster_nodes(market: Market = "any") -> list[Resources]:
    """The resources of each living node of a market."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    wanted = label_selector(market).items()
    return [dict(node["Resources"]) for node in nodes if node["Alive"] and wanted <= node["Labels"].items()]


def label_selector(market: Market) -> dict[str, str]:
    """The labels that a node of a market has; none for `any`."""
    return {} if market == "any" else {MARKET_LABEL: _MARKET_LABELS[market]}


def cluster_total(resource: str) -> float:
    """How much of a resource the living nodes have together."""
    return sum(node.get(resource, 0.0) for node in cluster_nodes())


def cluster_free(*resources: str) -> str:
    """What is free of some resources, as `2 CPU, 0 GPU`."""
    free: Resources = ray.available_resources()  # type: ignore[no-untyped-call]
    return ", ".join(f"{free.get(name, 0.0):g} {name}" for name in resources)


def can_grow() -> bool:
    """Whether an autoscaler may add nodes to this cluster.

    Ray's own question, `get_max_resources_from_cluster_config`, has an answer on Anyscale only: nothing in Ray 2.60
    writes what it reads. So this looks at the names of node types, which only a configured autoscaler knows: its
    second version (and KubeRay) tells its nodes, its first writes them into its status, where a type of nodes that
    are only watched is called node_<id>. KubeRay without autoscaling looks the same; see `refused`.
    """
    client = _gcs()
    if any(node.ray_node_type_name for node in get_cluster_resource_state(client).node_states):
        return True
    status = json.loads(client.internal_kv_get(DEBUG_AUTOSCALING_STATUS.encode(), None) or "{}")
    types = (status.get("autoscaler_report") or {}).get("active_nodes") or {}
    return any(not name.startswith("node_") for name in types)


def refused(group: PlacementGroup) -> bool:
    """Whether the autoscaler says now that no nodes that it may add would hold a placement group.

    Only its second version says so.
    """
    reply = GetClusterStatusReply.FromString(_gcs().get_cluster_status())
    # The details of a placement group's request begin with its id.
    requests = reply.autoscaling_state.infeasible_gang_resource_requests
    return any(request.details.startswith(group.id.hex()) for request in requests)


async def place(demand: Demand, timeout_s: float, market: Market = "any") -> PlacementGroup:
    """Reserve the bundles of `demand` on nodes of a market, on one node if one can hold them or may come.

    In a cluster that can grow the request stays pending, which is what makes Ray's autoscaler add a node, for as
    long as the autoscaler does not refuse it.

    Raises:
        ClusterError: the cluster is too small (told within seconds unless it can grow), or has been busy, or its
            autoscaler unable, for `timeout_s` seconds.
    """
    group = _reserve(demand, market)
    begun = time.monotonic()
    try:
        while not await asyncio.to_thread(group.wait, 1):
            if await asyncio.to_thread(_may_come, group):
                begun = time.monotonic()
            _give_up(demand, market, time.monotonic() - begun, timeout_s)
    except BaseException:
        remove_placement_group(group)
        raise
    return group


def _gcs() -> Any:
    return internal_kv_get_gcs_client()  # type: ignore[no-untyped-call]


def _reserve(demand: Demand, market: Market) -> PlacementGroup:
    nodes = cluster_nodes(market)
    # A node that comes is asked for whole; PACK is for workers that only several nodes together can hold.
    together = fits_one_node(demand, nodes) or (bundles_that_fit(demand, nodes) < demand.workers and can_grow())
    group: PlacementGroup = placement_group(
        [dict(demand.bundle)] * demand.workers,
        strategy="STRICT_PACK" if together else "PACK",
        bundle_label_selector=[label_selector(market)] * demand.workers if market != "any" else None,
    )
    return group


def _may_come(group: PlacementGroup) -> bool:
    return can_grow() and not refused(group)


def _give_up(demand: Demand, market: Market, waited_s: float, timeout_s: float) -> None:
    """Raise if nothing has come, nor was going to, for too long."""
    if waited_s < min(_GRACE_S, timeout_s):
        return
    nodes = cluster_nodes(market)
    if bundles_that_fit(demand, nodes) < demand.workers:
        if not can_grow():
            raise ClusterError(too_small(demand, nodes, market))
        if waited_s >= timeout_s:
            raise ClusterError(_too_narrow(demand, market, waited_s))
    if waited_s >= timeout_s:
        raise ClusterError(_too_busy(demand, waited_s))


def release(group: Any) -> None:
    """Give the bundles back; actors in them die."""
    remove_placement_group(group)


def too_small(demand: Demand, nodes: list[Resources], market: Market = "any") -> str:
    """The sentence that says what `nodes`, those of `market`, lack for `demand`, and the way out."""
    names = [name for name, _ in demand.bundle]
    if market != "any" and not nodes:
        label = f"{MARKET_LABEL}={_MARKET_LABELS[market]}"
        return (
            f"wanted: {demand}{_on(market)}, and no node has the label {label}, nor is there an autoscaler to add one; "
            "label nodes, or leave cluster.spot out"
        )
    if "GPU" in names and not any(node.get("GPU") for node in nodes):
        return f"wanted: {demand}, and the cluster has no GPU; use cluster.device=cpu (--device cpu) or add nodes"
    kind = "" if market == "any" else f"{_MARKET_LABELS[market]} "
    total = ", ".join(f"{sum(node.get(name, 0.0) for node in nodes):g} {name}" for name in names)
    return (
        f"wanted: {demand}{_on(market)}, and the cluster has {total} on {len(nodes)} {kind}node(s), "
        f"enough for {bundles_that_fit(demand, nodes)}; lower cluster.workers or add nodes"
    )


def _too_busy(demand: Demand, waited_s: float) -> str:
    have = cluster_free(*(name for name, _ in demand.bundle))
    return (
        f"wanted: {demand}, and after {waited_s:.0f} s only {have} of the cluster are free; "
        "end what else runs there, lower cluster.workers or add nodes"
    )


def _too_narrow(demand: Demand, market: Market, waited_s: float) -> str:
    return (
        f"wanted: {demand}{_on(market)}, and for {waited_s:.0f} s the autoscaler has had no node to add that "
        "holds them all; raise its limit of nodes, give it a larger node type or lower cluster.domain_workers"
    )


def _on(market: Market) -> str:
    return "" if market == "any" else f" on {_MARKET_LABELS[market]} nodes"
