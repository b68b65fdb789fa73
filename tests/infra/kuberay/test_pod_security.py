"""The pods of every overlay keep to Pod Security's `restricted`, and the check of that refuses what it should."""

import copy
from typing import Any

import pytest

from tests.infra.kuberay.operator import pods_of
from tests.infra.kuberay.pod_security import containers, violations
from tests.infra.kuberay.rendering import OVERLAYS, Object, named, render


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_keeps_to_restricted(overlay: str) -> None:
    pods = pods_of(render(overlay))
    assert {pod.group: violations(pod.spec) for pod in pods} == {pod.group: [] for pod in pods}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_asks_for_it(overlay: str) -> None:
    labels = named(render(overlay), "Namespace", "pabcast")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_container_can_write_its_root_file_system(overlay: str) -> None:
    seen = 0
    for pod in pods_of(render(overlay)):
        for container in containers(pod.spec):
            seen += 1
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, (pod.group, container["name"])
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]
            assert {"name": "HOME", "value": "/tmp"} in container["env"]
    assert seen >= 4


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_volume_that_is_mounted_is_there_and_every_other_way_round(overlay: str) -> None:
    for pod in pods_of(render(overlay)):
        mounted = {mount["name"] for container in containers(pod.spec) for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod.spec["volumes"]}, pod.group


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_autoscaler_has_a_token_of_kubernetes(overlay: str) -> None:
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    holders = set()
    for pod in pods_of(render(overlay)):
        assert pod.spec["automountServiceAccountToken"] is False
        for container in containers(pod.spec):
            if any(mount["mountPath"] == path or mount["name"] == "kube-api" for mount in container["volumeMounts"]):
                holders.add((pod.group, container["name"]))
    assert holders == {("head", "autoscaler")}


def with_(spec: Object, place: str, value: Any) -> Object:
    """A pod's spec with another value at a place, as `containers/0/securityContext/privileged`."""
    changed = copy.deepcopy(spec)
    *parents, name = place.split("/")
    here: Any = changed
    for parent in parents:
        here = here[int(parent)] if isinstance(here, list) else here.setdefault(parent, {})
    here[name] = value
    return changed


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("hostNetwork", True, "hostNetwork"),
        ("hostPID", True, "hostPID"),
        ("hostIPC", True, "hostIPC"),
        ("volumes", [{"name": "v", "hostPath": {"path": "/"}}], "volume v"),
        ("volumes", [{"name": "v", "nfs": {}}], "volume v"),
        ("securityContext/sysctls", [{"name": "kernel.msgmax", "value": "1"}], "sysctl"),
        ("securityContext/windowsOptions", {"hostProcess": True}, "hostProcess"),
        ("containers/0/securityContext/privileged", True, "privileged"),
        ("containers/0/securityContext/allowPrivilegeEscalation", None, "escalate"),
        ("containers/0/securityContext/capabilities", {"drop": ["NET_RAW"]}, "keeps"),
        ("containers/0/securityContext/capabilities", {"drop": ["ALL"], "add": ["SYS_PTRACE"]}, "adds"),
        ("containers/0/securityContext/procMount", "Unmasked", "procMount"),
        ("containers/0/securityContext/runAsUser", 0, "runs as root"),
        ("containers/0/securityContext/runAsNonRoot", False, "may run as root"),
        ("containers/0/securityContext/seccompProfile", {"type": "Unconfined"}, "seccomp"),
        ("containers/0/securityContext/appArmorProfile", {"type": "Unconfined"}, "AppArmor"),
        ("containers/0/securityContext/seLinuxOptions", {"type": "spc_t"}, "SELinux"),
        ("containers/0/securityContext/seLinuxOptions", {"role": "x"}, "SELinux"),
        ("containers/0/ports", [{"containerPort": 1, "hostPort": 1}], "port of the host"),
        ("containers/0/livenessProbe", {"httpGet": {"host": "example.org"}}, "another host"),
        ("initContainers/0/securityContext", {}, "wait-gcs-ready"),
    ],
)
def test_what_restricted_forbids_is_found(place: str, value: Any, said: str) -> None:
    worker = next(pod for pod in pods_of(render("gpu-cluster")) if pod.group == "spot-1-gpu")
    found = violations(with_(worker.spec, place, value))
    assert any(said in problem for problem in found), found


def test_without_a_pod_wide_context_the_containers_own_is_enough() -> None:
    worker = copy.deepcopy(pods_of(render("cpu-cluster"))[-1].spec)
    del worker["securityContext"]
    assert violations(worker) == []
