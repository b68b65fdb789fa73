"""NetworkPolicies, read as Kubernetes reads them."""

import ipaddress
from dataclasses import dataclass, field

from tests.infra.kuberay.rendering import Object

HOME = {"kubernetes.io/metadata.name": "pabcast"}
"""The labels of the namespace of ours, and of others."""
MONITORING = {"kubernetes.io/metadata.name": "monitoring"}


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of a connection: a pod, or an address outside of the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: dict[str, str] = field(default_factory=dict)
    """The labels of its namespace."""
    address: str = ""


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a selector of labels does; an empty one selects everything."""
    assert selector.keys() <= {"matchLabels"}, "other selectors are not used"
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer: Object, end: End, home: dict[str, str]) -> bool:
    """Whether a peer of a rule is that end; `home` has the labels of the policy's namespace."""
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        outside = end.address and ipaddress.ip_address(end.address) in ipaddress.ip_network(block["cidr"])
        return bool(outside) and not any(
            ipaddress.ip_address(end.address) in ipaddress.ip_network(left_out) for left_out in block.get("except", [])
        )
    if end.address:
        return False
    in_namespace = (
        selects(peer["namespaceSelector"], end.namespace) if "namespaceSelector" in peer else (end.namespace == home)
    )
    return in_namespace and selects(peer.get("podSelector", {}), end.labels)


def allows(
    objects: tuple[Object, ...], direction: str, ours: End, other: End, port: int, protocol: str = "TCP"
) -> bool:
    """Whether the policies let a pod of ours take (Ingress) or open (Egress) a connection."""
    chosen = [
        thing["spec"]
        for thing in objects
        if thing["kind"] == "NetworkPolicy" and selects(thing["spec"]["podSelector"], ours.labels)
    ]
    chosen = [spec for spec in chosen if direction in spec["policyTypes"]]
    if not chosen:
        return True
    ends = {"Ingress": "from", "Egress": "to"}[direction]
    for rule in (rule for spec in chosen for rule in spec.get(direction.lower(), [])):
        ports = rule.get("ports")
        at = ports is None or {"protocol": protocol, "port": port} in ports
        if at and any(is_peer(peer, other, ours.namespace) for peer in rule[ends]):
            return True
    return False
