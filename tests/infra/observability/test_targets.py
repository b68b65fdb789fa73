"""What Prometheus asks is there under that name, lets it in, and is not missed where nobody made it."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.infra.kuberay.operator import Pod, pods_of, services_of
from tests.infra.kuberay.policies import HOME, MONITORING, End, allows
from tests.infra.kuberay.rendering import OVERLAYS, Object, render
from tests.infra.observability.test_alerts import ALERTS, FOLDER

CONFIGS = sorted(file.name for file in FOLDER.glob("prometheus*.yml"))
PROMETHEUS = End(labels={"app.kubernetes.io/name": "prometheus"}, namespace=MONITORING)
ENDPOINTS = [overlay for overlay in OVERLAYS if overlay.endswith("endpoint")]


def load(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return values


def asked_by_name() -> Iterator[tuple[str, str, int]]:
    """Job, name and port of all that is asked in Kubernetes by a name."""
    for job in load("prometheus-kuberay.yml")["scrape_configs"]:
        assert [key for key in job if key.endswith("_configs") and key != "relabel_configs"] == ["dns_sd_configs"]
        for found in job["dns_sd_configs"]:
            assert found["type"] == "A"
            yield from ((job["job_name"], name, found["port"]) for name in found["names"])
    scrape = load("scrapeconfig.yaml")["spec"]
    (job,) = (rule["replacement"] for rule in scrape["relabelings"] if rule["targetLabel"] == "job")
    for found in scrape["dnsSDConfigs"]:
        assert found["type"] == "A"
        yield from ((job, name, found["port"]) for name in found["names"])


def lets_in(objects: tuple[Object, ...], pod: Pod, port: int) -> bool:
    """Whether Prometheus reaches a port of a pod, and a container has it."""
    listens = [one["containerPort"] for one in pod.ray.get("ports", [])]
    ours = End(labels=pod.labels, namespace=HOME)
    return port in listens and allows(objects, "Ingress", ours, PROMETHEUS, port)


def nodes(overlay: str) -> list[Pod]:
    return [pod for pod in pods_of(render(overlay)) if pod.start]


def selected(overlay: str, name: str) -> list[Pod]:
    """The pods that a service of an overlay leads to; none where it has no such service."""
    selector = services_of(render(overlay)).get(name)
    pods = pods_of(render(overlay))
    return [] if selector is None else [pod for pod in pods if selector.items() <= pod.labels.items()]


@pytest.mark.parametrize(("job", "name", "port"), list(asked_by_name()))
def test_a_name_is_of_a_service_with_its_namespace_whose_pods_let_prometheus_in(job: str, name: str, port: int) -> None:
    there = {overlay: pods for overlay in OVERLAYS if (pods := selected(overlay, name))}
    assert sorted(there) == (ENDPOINTS if job == "pabcast-endpoint" else OVERLAYS)
    for overlay, pods in there.items():
        assert all(lets_in(render(overlay), pod, port) for pod in pods)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_of_the_metrics_has_all_of_rays_pods_of_every_overlay_ready_or_not(overlay: str) -> None:
    (name,) = {name for job, name, _ in asked_by_name() if job == "ray"}
    assert [pod.group for pod in selected(overlay, name)] == [pod.group for pod in nodes(overlay)]
    (service,) = (thing["spec"] for thing in render(overlay) if thing["kind"] == "Service")
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operators_monitor_finds_the_same_pods_at_a_port_that_lets_it_in(overlay: str) -> None:
    monitor = load("podmonitor.yaml")["spec"]
    (watched,) = monitor["podMetricsEndpoints"]
    pods = pods_of(render(overlay))
    found = [pod for pod in pods if monitor["selector"]["matchLabels"].items() <= pod.labels.items()]
    assert [pod.group for pod in found] == [pod.group for pod in nodes(overlay)]
    for pod in found:
        (port,) = (one["containerPort"] for one in pod.ray["ports"] if one["name"] == watched["port"])
        assert lets_in(render(overlay), pod, port)


def test_a_port_that_the_policies_do_not_list_and_a_name_without_namespace_would_be_found() -> None:
    assert not any(lets_in(render("gpu-endpoint"), pod, 8265) for pod in nodes("gpu-endpoint"))
    assert not any(selected(overlay, "pabcast-metrics") for overlay in OVERLAYS)
    assert not any(selected(overlay, "pabcast-head-svc.pabcast.svc") for overlay in ENDPOINTS)


@pytest.mark.parametrize("config", CONFIGS)
def test_an_endpoint_is_asked_where_one_is_and_said_to_be_so_that_no_alert_tells_of_none(config: str) -> None:
    (alert,) = (alert for alert in ALERTS if alert["alert"] == "PabcastEndpointDown")
    (job,) = (job for job in load(config)["scrape_configs"] if job["job_name"] == "pabcast-endpoint")
    assert 'job="pabcast-endpoint"' in alert["expr"]
    assert "static_configs" not in job
    assert job.keys() & {"file_sd_configs", "dns_sd_configs"}
    assert load(config)["rule_files"] == ["alerts.yml"]


def test_rays_nodes_have_one_name_of_a_job_everywhere_by_which_the_alert_for_them_goes() -> None:
    (alert,) = (alert for alert in ALERTS if alert["alert"] == "PabcastNotScraped")
    assert alert["expr"] == 'up{job="ray"} == 0'
    for config in CONFIGS:
        assert {job["job_name"] for job in load(config)["scrape_configs"]} == {"ray", "pabcast-endpoint"}
    (watched,) = load("podmonitor.yaml")["spec"]["podMetricsEndpoints"]
    assert {"targetLabel": "job", "replacement": "ray"} in watched["relabelings"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_that_ends_in_its_time_is_missed_by_an_alert(overlay: str) -> None:
    (alert,) = (alert for alert in ALERTS if alert["alert"] == "PabcastNotScraped")
    waits_s = 60 * int(alert["for"].removesuffix("m"))
    assert all(waits_s > 2 * pod.spec["terminationGracePeriodSeconds"] for pod in nodes(overlay))


def test_the_operator_asks_for_the_endpoint_by_the_name_that_the_config_has() -> None:
    assert len({(name, port) for job, name, port in asked_by_name() if job == "pabcast-endpoint"}) == 1
