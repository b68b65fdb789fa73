"""The rules of Kubernetes' Pod Security Standards at the level `restricted`, which includes `baseline`.

Those of Linux pods, in the order of kubernetes.io/docs/concepts/security/pod-security-standards.
"""

from collections.abc import Iterator
from typing import Any

from tests.infra.kuberay.rendering import Object, walk

VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
}
SECCOMP = ("RuntimeDefault", "Localhost")
SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def violations(spec: Object) -> list[str]:
    """What a pod's spec does that `restricted` forbids."""
    return [*_of_pod(spec), *(problem for container in containers(spec) for problem in _of_container(spec, container))]


def containers(spec: Object) -> list[Object]:
    """All containers of a pod, those that only begin it included."""
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [container for kind in kinds for container in spec.get(kind, [])]


def _of_pod(spec: Object) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is true"
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds or not kinds <= VOLUMES:
            yield f"volume {volume['name']} is {sorted(kinds)}"
    for sysctl in spec.get("securityContext", {}).get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    for path, value in walk(spec):
        if path.endswith("securityContext.windowsOptions.hostProcess") and value:
            yield f"{path} is true"


def _of_container(spec: Object, container: Object) -> Iterator[str]:
    name = container["name"]
    own = container.get("securityContext", {})
    if own.get("privileged"):
        yield f"{name} is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may escalate its privileges"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield f"{name} keeps capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name} adds the capabilities {capabilities['add']}"
    if own.get("procMount", "Default") != "Default":
        yield f"{name} has procMount {own['procMount']}"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name} has a port of the host"
    for hook in (*container.get("lifecycle", {}).values(), *_probes(container)):
        if any(hook.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"{name} has a probe or a hook at another host"
    yield from _inherited(name, spec.get("securityContext", {}), own)


def _inherited(name: str, of_pod: Object, own: Object) -> Iterator[str]:
    """What a container has from its pod unless it says otherwise."""
    together = {**of_pod, **own}
    if together.get("runAsNonRoot") is not True:
        yield f"{name} may run as root"
    if together.get("runAsUser") == 0:
        yield f"{name} runs as root"
    if together.get("seccompProfile", {}).get("type") not in SECCOMP:
        yield f"{name} has no seccomp profile"
    if together.get("appArmorProfile", {"type": "RuntimeDefault"})["type"] not in SECCOMP:
        yield f"{name} is not confined by AppArmor"
    selinux = together.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{name} has SELinux options of its own"


def _probes(container: Object) -> list[Any]:
    return [container[kind] for kind in ("livenessProbe", "readinessProbe", "startupProbe") if kind in container]
