"""Every rendered object against KubeRay's CRDs and Kubernetes' schemas, and that these refuse what they do not know."""

import copy
from typing import Any

import jsonschema
import pytest

from tests.infra.kuberay.operator import pods_of
from tests.infra.kuberay.rendering import OVERLAYS, Object, cluster_spec, custom, named, render, walk
from tests.infra.kuberay.schemas import pod_problems, problems, strict

AFTER_1_6 = {
    *("networkPolicy", "tlsOptions", "historyServerOptions", "ingressOptions"),
    *("autoscalerOptions.args", "autoscalerOptions.command"),
    *("gcsFaultToleranceOptions.backend", "gcsFaultToleranceOptions.storage"),
    "priority",
}
"""Fields of a cluster's spec that operator 1.7 knows and 1.6 does not."""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_kuberay_carries_out_is_as_its_crd_says(overlay: str) -> None:
    assert problems(custom(render(overlay))) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_other_object_of_an_overlay_is_as_kubernetes_says(overlay: str) -> None:
    others = [thing for thing in render(overlay) if thing["apiVersion"] != "ray.io/v1"]
    assert len(others) == 9
    assert [problem for thing in others for problem in problems(thing)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pods_that_the_operator_makes_are_pods(overlay: str) -> None:
    pods = pods_of(render(overlay))
    assert pods[0].group == "head"
    assert [problem for pod in pods for problem in pod_problems(pod.spec)] == []


def misspelt(thing: Object, path: str) -> Object:
    """The object with one more letter in the name of a field."""
    wrong = copy.deepcopy(thing)
    *parents, name = path.split("/")
    here: Any = wrong
    for parent in parents:
        here = here[int(parent)] if isinstance(here, list) else here[parent]
    here[name + "s"] = here.pop(name)
    return wrong


def refuses(thing: Object, path: str) -> bool:
    """Whether the misspelt field is called unknown, which nothing else is."""
    name = path.rpartition("/")[2] + "s"
    unknown = [problem for problem in problems(thing) if "dditional properties" in problem]
    return len(unknown) == 1 and f"'{name}' was unexpected" in unknown[0]


@pytest.mark.parametrize(
    "path",
    [
        "spec/enableInTreeAutoscaling",
        "spec/autoscalerOptions/idleTimeoutSeconds",
        "spec/authOptions/secretName",
        "spec/workerGroupSpecs/0/maxReplicas",
        "spec/workerGroupSpecs/0/template/spec/terminationGracePeriodSeconds",
        "spec/workerGroupSpecs/0/template/spec/containers/0/lifecycle/preStop",
        "spec/headGroupSpec/template/spec/containers/0/securityContext/readOnlyRootFilesystem",
        "spec/headGroupSpec/template/spec/volumes/0/emptyDir/sizeLimit",
        "metadata/labels",
    ],
)
def test_a_misspelt_field_of_a_cluster_is_refused(path: str) -> None:
    assert refuses(misspelt(custom(render("gpu-cluster")), path), path)


@pytest.mark.parametrize(
    ("overlay", "path"),
    [
        ("cpu-job", "spec/entrypoint"),
        ("cpu-job", "spec/submitterPodTemplate/spec/restartPolicy"),
        ("cpu-job", "spec/rayClusterSpec/headGroupSpec/template"),
        ("cpu-endpoint", "spec/serveConfigV2"),
        ("cpu-endpoint", "spec/rayClusterConfig/rayVersion"),
    ],
)
def test_a_misspelt_field_of_a_job_or_an_endpoint_is_refused(overlay: str, path: str) -> None:
    assert refuses(misspelt(custom(render(overlay)), path), path)


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("NetworkPolicy", "pabcast", "spec/policyTypes"),
        ("NetworkPolicy", "pabcast", "spec/ingress/0/from"),
        ("PodDisruptionBudget", "pabcast-head", "spec/minAvailable"),
        ("PersistentVolumeClaim", "pabcast-shared", "spec/storageClassName"),
        ("ConfigMap", "pabcast-config", "data"),
        ("Namespace", "pabcast", "metadata/labels"),
    ],
)
def test_a_misspelt_field_of_one_of_kubernetes_own_objects_is_refused(kind: str, name: str, path: str) -> None:
    assert refuses(misspelt(named(render("gpu-cluster"), kind, name), path), path)


def test_a_value_of_another_type_is_refused() -> None:
    cluster = copy.deepcopy(custom(render("cpu-cluster")))
    cluster["spec"]["autoscalerOptions"]["version"] = "v3"
    assert any("'v3' is not one of" in problem for problem in problems(cluster))


def test_a_structural_schema_is_closed_where_it_does_not_say_that_it_is_open() -> None:
    closed = strict(
        {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}},
            },
        }
    )
    checker = jsonschema.Draft202012Validator(closed)
    assert checker.is_valid({"type": "x", "map": {"k": "v"}, "any": {"k": 1}, "list": [{"a": 1}]})
    assert not any(map(checker.is_valid, ({"other": 1}, {"list": [{"b": 1}]}, {"map": {"k": 1}})))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_field_that_came_after_operator_1_6_is_used(overlay: str) -> None:
    spec = cluster_spec(render(overlay))
    outside_pods = {key: value for key, value in spec.items() if key not in ("headGroupSpec", "workerGroupSpecs")}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    used = {path.lstrip(".") for path, _ in walk(outside_pods)} | {key for group in groups for key in group}
    assert {"autoscalerOptions.version", "rayStartParams"} <= used
    assert not used & AFTER_1_6
