"""What KubeRay's operator 1.6 makes of a cluster's spec, as its source says (ray-operator/controllers/ray/common)."""

import copy
import shlex
from dataclasses import dataclass
from typing import Any

from tests.infra.kuberay.rendering import Object, cluster_spec, custom

FLAGS_WITH_VALUES = ("log-color", "include-dashboard")
"""For others `true` is a flag without a value."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod that the operator starts."""

    group: str
    spec: Object
    labels: dict[str, str]
    start: str
    """The arguments of `ray start`; empty for what is no node."""

    @property
    def ray(self) -> Object:
        """Its first container, which runs Ray."""
        container: Object = self.spec["containers"][0]
        return container

    @property
    def environment(self) -> dict[str, Any]:
        """The values of that container's variables; None of those that come from elsewhere."""
        return {variable["name"]: variable.get("value") for variable in self.ray["env"]}

    def volume(self, name: str) -> Object:
        """One of its volumes."""
        (found,) = (volume for volume in self.spec["volumes"] if volume["name"] == name)
        return dict(found)


def pods_of(objects: tuple[Object, ...]) -> list[Pod]:
    """One pod of each kind that an overlay leads to."""
    spec = cluster_spec(objects)
    pods = [_head(spec), *(_worker(spec, group) for group in spec["workerGroupSpecs"])]
    template = custom(objects)["spec"].get("submitterPodTemplate")
    if template is not None:
        pods.append(Pod(group="submitter", spec=template["spec"], labels=template["metadata"]["labels"], start=""))
    return pods


def services_of(objects: tuple[Object, ...]) -> dict[str, dict[str, str]]:
    """The services that an overlay leads to, as `NAME.NAMESPACE.svc`, and by which labels each selects its pods."""
    found = {
        f"{thing['metadata']['name']}.{thing['metadata']['namespace']}.svc": thing["spec"]["selector"]
        for thing in objects
        if thing["kind"] == "Service"
    }
    thing = custom(objects)
    name, namespace = thing["metadata"]["name"], thing["metadata"]["namespace"]
    head = {"ray.io/node-type": "head"}
    if thing["kind"] == "RayService":
        # Its pods are those whose proxy answers; here they are on the head alone.
        found[f"{name}-serve-svc.{namespace}.svc"] = head
    if thing["kind"] != "RayJob":
        found[f"{name}-head-svc.{namespace}.svc"] = head
    return found


def _head(spec: Object) -> Pod:
    group = spec["headGroupSpec"]
    pod = copy.deepcopy(group["template"]["spec"])
    options = spec["autoscalerOptions"]
    autoscaler = {
        "name": "autoscaler",
        "image": pod["containers"][0]["image"],
        "resources": options["resources"],
        "securityContext": options["securityContext"],
        "env": options["env"] + _token(spec),
        "volumeMounts": [*options["volumeMounts"], {"name": "ray-logs", "mountPath": "/tmp/ray"}],
    }
    pod["containers"].append(autoscaler)
    pod["restartPolicy"] = "Never"
    pod["containers"][0]["env"] += _token(spec)
    parameters = {"no-monitor": "true", **group["rayStartParams"]}
    start = f"--head {_flags(_complete(parameters, group, pod))}"
    return Pod(group="head", spec=pod, labels=_labels(group, "head", "headgroup"), start=start)


def _worker(spec: Object, group: Object) -> Pod:
    pod = copy.deepcopy(group["template"]["spec"])
    ray = pod["containers"][0]
    ray["env"] += _token(spec)
    small = {"cpu": "200m", "memory": "256Mi"}
    pod["initContainers"] = [
        {
            "name": "wait-gcs-ready",
            **{key: copy.deepcopy(ray[key]) for key in ("image", "securityContext", "env", "volumeMounts")},
            "resources": {"requests": small, "limits": small},
        }
    ]
    pod["restartPolicy"] = "Never"
    parameters = {"address": "HEAD:6379", **group["rayStartParams"]}
    labels = _labels(group, "worker", group["groupName"])
    return Pod(group=group["groupName"], spec=pod, labels=labels, start=_flags(_complete(parameters, group, pod)))


def _token(spec: Object) -> list[Object]:
    secret = {"name": spec["authOptions"]["secretName"], "key": "auth_token"}
    return [
        {"name": "RAY_AUTH_MODE", "value": "token"},
        {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": secret}},
    ]


def _labels(group: Object, kind: str, name: str) -> dict[str, str]:
    own = {"app.kubernetes.io/name": "kuberay", "app.kubernetes.io/created-by": "kuberay-operator"}
    own["ray.io/is-ray-node"] = "yes"
    given = {**group["template"]["metadata"]["labels"], **group.get("labels", {})}
    return {**own, **given, "ray.io/node-type": kind, "ray.io/group": name}


def _complete(parameters: dict[str, str], group: Object, pod: Object) -> dict[str, str]:
    limits = pod["containers"][0]["resources"]["limits"]
    added = {"metrics-export-port": "8080", "dashboard-agent-listen-port": "52365", "block": "true"}
    added["num-cpus"] = limits["cpu"]
    if "nvidia.com/gpu" in limits:
        added["num-gpus"] = limits["nvidia.com/gpu"]
    added["memory"] = str(quantity(limits["memory"]))
    if group.get("labels"):
        added["labels"] = ",".join(f"{key}={value}" for key, value in sorted(group["labels"].items()))
    return {**added, **parameters}


def _flags(parameters: dict[str, str]) -> str:
    flags = []
    for name, value in sorted(parameters.items()):
        if value in ("true", "false") and name not in FLAGS_WITH_VALUES:
            flags += [f"--{name}"] if value == "true" else []
        else:
            flags.append(f"--{name}={shlex.quote(value)}")
    return " ".join(flags)


def quantity(text: str) -> int:
    """A quantity of memory in bytes."""
    for suffix, power in (("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4)):
        if text.endswith(suffix):
            return int(text.removesuffix(suffix)) * 1024**power
    return int(text)
