"""Pods as processes: what KubeRay would start, each in namespaces of its own for network, mounts, name and processes.

The root file system is read-only there, /tmp and /dev/shm are volumes of the sizes that the manifests say, and what is
of a ConfigMap lies where it is mounted. Needs root and Linux's `ip`, `unshare` and `nsenter`.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pipelines.places import ROOT
from tests.infra.kuberay.operator import Pod, quantity
from tests.infra.kuberay.rendering import Object, named

NETWORK = "10.231.77"
KEPT = tuple(dict.fromkeys((sys.prefix, sys.base_prefix, str(ROOT))))
"""What the image brings: the environment and the code, wherever they are here."""


def can_be_had() -> bool:
    """Whether this process may make namespaces and networks."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("ip", "unshare", "nsenter", "mount")):
        return False
    bridge = f"pbt{os.getpid()}"
    return _call("ip", "link", "add", bridge, "type", "bridge") == 0 and _call("ip", "link", "del", bridge) == 0


class Network:
    """A bridge, at which every pod has a cable; this machine is `address` on it."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for what the pods' volumes hold."""
        self.folder = folder
        self.address = f"{NETWORK}.1"
        self._name = f"pb{os.getpid()}"
        self._numbers = itertools.count(2)
        self._nodes: list[Node] = []

    def __enter__(self) -> "Network":
        _run("ip", "link", "add", self._name, "type", "bridge")
        _run("ip", "address", "add", f"{self.address}/24", "dev", self._name)
        _run("ip", "link", "set", self._name, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for node in self._nodes:
            node.end()
        _run("ip", "link", "del", self._name)

    def node(self, pod: Pod, objects: tuple[Object, ...], secrets: Mapping[str, str]) -> "Node":
        """A pod of this network; `secrets` are the variables that its Secrets hold."""
        number = next(self._numbers)
        node = Node(pod, objects, secrets, f"{self._name}-{number}", f"{NETWORK}.{number}", self.folder)
        self._nodes.append(node)
        _run("ip", "netns", "add", node.name)
        _run("ip", "link", "add", f"{node.name}h", "type", "veth", "peer", "name", "eth0", "netns", node.name)
        _run("ip", "link", "set", f"{node.name}h", "master", self._name, "up")
        for words in ("link set lo up", f"address add {node.address}/24 dev eth0", "link set eth0 up"):
            _run("ip", "-n", node.name, *words.split())
        _run("ip", "-n", node.name, "route", "add", "default", "via", self.address)
        return node


class Node:
    """A pod; `start` it, and it ends by `terminate` or with its network."""

    def __init__(
        self,
        pod: Pod,
        objects: tuple[Object, ...],
        secrets: Mapping[str, str],
        name: str,
        address: str,
        folder: Path,
    ) -> None:
        self.name = name
        self.address = address
        self._pod = pod
        self._objects = objects
        self._folder = folder / name
        self._secrets = secrets
        self._variables: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What its container says."""
        return (self._folder / "log").read_text()

    @property
    def lives(self) -> bool:
        """Whether its container runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, head: str) -> None:
        """As the operator has it start, in the cluster whose head is at the address `head`."""
        self._root.mkdir(parents=True)
        (self._folder / "hosts").write_text(f"127.0.0.1 localhost\n{self.address} {self.name}\n")
        ray = self._pod.start.replace("HEAD:6379", f"{head}:6379")
        script = [*self._mounts(), f"hostname {self.name}"]
        script += [f"exec chroot {self._inside('/')} /bin/bash -c -- 'ulimit -n 65536; ray start {ray}'"]
        command = ["ip", "netns", "exec", self.name, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
        self._variables = self._environment_of(head)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "/bin/bash", "-ec", "\n".join(script)], env=self._variables, stdout=log, stderr=log
            )

    def terminate(self) -> float:
        """As the kubelet does: the preStop hook, then SIGTERM, both within the grace period; returns the seconds.

        Raises:
            subprocess.TimeoutExpired: it was not over within the grace period, after which it is killed.
        """
        assert self._process is not None
        begun, grace_s = time.monotonic(), float(self._pod.spec["terminationGracePeriodSeconds"])
        hook = self._pod.ray.get("lifecycle", {}).get("preStop")
        if hook:
            spaces = ["--mount", "--net", "--uts", "--pid", "--root"]
            inside = ["nsenter", "--target", str(self._first()), *spaces, *hook["exec"]["command"]]
            with (self._folder / "log").open("ab") as log:
                subprocess.run(inside, env=self._variables, stdout=log, stderr=log, timeout=grace_s, check=True)
        os.kill(self._first(), signal.SIGTERM)
        self._process.wait(max(2.0, grace_s - (time.monotonic() - begun)))
        return time.monotonic() - begun

    def end(self) -> None:
        """At once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)
        _run("ip", "link", "del", f"{self.name}h")
        _run("ip", "netns", "del", self.name)

    def _first(self) -> int:
        """The process 1 of the pod, by its number outside."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def _environment_of(self, head: str) -> dict[str, str]:
        given = {name: value for name, value in self._pod.environment.items() if value is not None}
        for source in self._pod.ray.get("envFrom", []):
            if "configMapRef" in source:
                given |= named(self._objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"RAY_ADDRESS": f"{head}:6379", "RAY_CLOUD_INSTANCE_ID": self.name, "PATH": path}
        return {**own, **given, **self._secrets}

    @property
    def _root(self) -> Path:
        return self._folder / "root"

    def _inside(self, path: str) -> str:
        """Where the pod's `path` is before its root is."""
        return f"{self._root}/all/{path.lstrip('/')}"

    def _mounts(self) -> list[str]:
        """Lines of a shell: a root that cannot be written, of this machine's and the folders to mount at."""
        places = sorted(self._pod.ray["volumeMounts"], key=lambda place: str(place["mountPath"]))
        folders = " ".join(f"{self._root}/empty{place['mountPath']}" for place in places)
        lines = [
            "mount --make-rprivate /",
            f"mount -t tmpfs root {self._root}",
            f"mkdir -p {self._inside('/')} {folders}",
            f"mount -t overlay -o lowerdir={self._root}/empty:/ root {self._inside('/')}",
            f"mount --rbind /dev {self._inside('/dev')}",
            f"mount --rbind /sys {self._inside('/sys')}",
            f"mount -t proc proc {self._inside('/proc')}",
            f"mount --bind {self._folder}/hosts {self._inside('/etc/hosts')}",
        ]
        for place in places:
            lines += self._mount(self._pod.volume(place["name"]), place["mountPath"])
        return lines

    def _mount(self, volume: Object, path: str) -> list[str]:
        """Lines of a shell that put a volume where it is wanted; what the image brings stays to be seen."""
        where = self._inside(path)
        if "emptyDir" in volume:
            size = quantity(volume["emptyDir"].get("sizeLimit", "1Gi"))
            lines = [f"mkdir -p {where}", f"mount -t tmpfs -o size={size} {volume['name']} {where}"]
            for kept in KEPT:
                if Path(kept).is_relative_to(path):
                    lines += [f"mkdir -p {self._inside(kept)}", f"mount --rbind {kept} {self._inside(kept)}"]
            return lines
        source = self._folder.parent / volume["name"]
        source.mkdir(exist_ok=True)
        if "configMap" in volume:
            for name, text in named(self._objects, "ConfigMap", volume["configMap"]["name"])["data"].items():
                (source / name).write_text(text)
        return [f"mkdir -p {where}", f"mount --bind {source} {where}"]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30, capture_output=True)


def _call(*command: str) -> int:
    return subprocess.run(command, check=False, timeout=30, capture_output=True).returncode
