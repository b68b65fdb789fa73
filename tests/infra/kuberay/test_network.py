"""Who may talk to whom: the policies are read as Kubernetes reads them, for pods of ours and for strangers."""

import pytest
import yaml

from tests.infra.kuberay.operator import pods_of
from tests.infra.kuberay.policies import HOME, MONITORING, End, allows, selects
from tests.infra.kuberay.rendering import KUBERAY, OVERLAYS, Object, named, render

OPERATOR = {"app.kubernetes.io/name": "kuberay-operator", "app.kubernetes.io/component": "kuberay-operator"}


ELSEWHERE = {"kubernetes.io/metadata.name": "default"}
DNS = {"kubernetes.io/metadata.name": "kube-system"}
CLIENTS = {"kubernetes.io/metadata.name": "web", "pabcast/clients": "true"}
PORTS = (6379, 8000, 8265, 8080, 10001, 52365, 31415)


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return render(request.param)


def ends_of(objects: tuple[Object, ...]) -> dict[str, End]:
    """One end for each kind of pod of an overlay."""
    return {pod.group: End(labels=pod.labels, namespace=HOME) for pod in pods_of(objects)}


def test_the_pods_of_a_cluster_talk_to_each_other_at_every_port(objects: tuple[Object, ...]) -> None:
    ends = ends_of(objects)
    assert len(ends) >= 2
    for one in ends.values():
        for other in ends.values():
            for port in PORTS:
                assert allows(objects, "Egress", one, other, port)
                assert allows(objects, "Ingress", other, one, port)


def test_a_stranger_reaches_no_port_of_any_pod(objects: tuple[Object, ...]) -> None:
    strangers = [
        End(labels={"app": "other"}, namespace=HOME),
        End(labels={"app": "other"}, namespace=ELSEWHERE),
        End(labels={"app.kubernetes.io/part-of": "pabcast"}, namespace=ELSEWHERE),
        End(labels={"app.kubernetes.io/name": "kuberay", "ray.io/node-type": "worker"}, namespace=ELSEWHERE),
        End(address="203.0.113.9"),
    ]
    for ours in ends_of(objects).values():
        for stranger in strangers:
            assert not [port for port in PORTS if allows(objects, "Ingress", ours, stranger, port)]


def reached(objects: tuple[Object, ...], caller: End) -> dict[str, list[int]]:
    """The ports that a caller reaches, by kind of pod."""
    return {
        name: [port for port in PORTS if allows(objects, "Ingress", ours, caller, port)]
        for name, ours in ends_of(objects).items()
    }


def test_the_operator_reaches_the_heads_dashboard_and_the_endpoint(objects: tuple[Object, ...]) -> None:
    found = reached(objects, End(labels=OPERATOR, namespace=ELSEWHERE))
    assert found.pop("head") == [8000, 8265]
    assert set(map(tuple, found.values())) == {()}


def test_clients_reach_the_endpoint_alone(objects: tuple[Object, ...]) -> None:
    found = reached(objects, End(labels={"app": "web"}, namespace=CLIENTS))
    assert found.pop("head") == [8000]
    assert set(map(tuple, found.values())) == {()}


@pytest.mark.parametrize("address", ["35.191.3.4", "130.211.1.2", "10.0.9.9"])
def test_a_clouds_load_balancer_reaches_the_endpoint_alone_once_its_line_is_taken_in(address: str) -> None:
    text = (KUBERAY / "base/network-policy.yaml").read_text()
    told = tuple(yaml.safe_load_all(text.replace("# - ipBlock", "- ipBlock")))
    balancer = End(address=address)
    others = tuple(thing for thing in render("gpu-endpoint") if thing["kind"] != "NetworkPolicy")
    assert set(map(tuple, reached(render("gpu-endpoint"), balancer).values())) == {()}
    ends = ends_of(others)
    found = {
        name: [port for port in PORTS if allows(told, "Ingress", end, balancer, port)] for name, end in ends.items()
    }
    assert found.pop("head") == [8000]
    assert set(map(tuple, found.values())) == {()}


def test_prometheus_reaches_the_metrics_of_every_pod_and_of_the_endpoint_alone(objects: tuple[Object, ...]) -> None:
    found = reached(objects, End(labels={"app": "prometheus"}, namespace=MONITORING))
    assert found.pop("head") == [8000, 8080]
    assert set(map(tuple, found.values())) == {(8080,)}


def test_every_pod_reaches_names_and_the_store_and_no_nodes_metadata(objects: tuple[Object, ...]) -> None:
    bucket, metadata = End(address="52.216.0.1"), End(address="169.254.169.254")
    dns = End(labels={"k8s-app": "kube-dns"}, namespace=DNS)
    for ours in ends_of(objects).values():
        assert allows(objects, "Egress", ours, dns, 53, "UDP")
        assert allows(objects, "Egress", ours, dns, 53)
        assert allows(objects, "Egress", ours, bucket, 443)
        for port in (80, 443):
            assert not allows(objects, "Egress", ours, metadata, port)
        for resolver in (metadata, End(address="169.254.20.10")):
            assert all(allows(objects, "Egress", ours, resolver, 53, protocol) for protocol in ("UDP", "TCP"))
        assert not allows(objects, "Egress", ours, End(address="169.254.170.2"), 53)
        for port in (22, 80, 6379, 8080):
            assert not allows(objects, "Egress", ours, bucket, port)
            assert not allows(objects, "Egress", ours, End(labels={"app": "other"}, namespace=ELSEWHERE), port)


def test_only_the_head_reaches_kubernetes_at_its_own_port(objects: tuple[Object, ...]) -> None:
    found = {
        name
        for name, ours in ends_of(objects).items()
        if allows(objects, "Egress", ours, End(address="10.0.0.1"), 6443)
    }
    assert found == {"head"}


def test_what_no_policy_selects_is_free_so_that_the_selection_counts() -> None:
    objects = render("cpu-cluster")
    assert allows(objects, "Ingress", End(labels={"app": "other"}, namespace=HOME), End(address="203.0.113.9"), 22)


def test_the_budget_keeps_every_head_and_no_worker(objects: tuple[Object, ...]) -> None:
    budget = named(objects, "PodDisruptionBudget", "pabcast-head")["spec"]
    kept = {pod.group for pod in pods_of(objects) if selects(budget["selector"], pod.labels)}
    assert kept == {"head"}
    # Of pods without a scale subresource Kubernetes takes no share and no maxUnavailable.
    assert isinstance(budget["minAvailable"], int)
    assert "maxUnavailable" not in budget
    assert budget["minAvailable"] > 10
