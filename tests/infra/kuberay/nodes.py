"""Pods of an overlay as processes of this machine: the start command, the variables and the hook are the manifest's."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipelines.places import ROOT
from tests.infra.kuberay.operator import Pod, pods_of
from tests.infra.kuberay.rendering import KUBERAY, render
from tests.ray_head import RAY, free_port

START_S = 120.0
END_S = 30.0


@dataclass(kw_only=True)
class Node:
    """A pod's first container."""

    name: str
    process: "subprocess.Popen[bytes]"
    environment: dict[str, str]
    agent: str
    """The URL of its health."""

    def run_hook(self, seconds: float) -> "subprocess.CompletedProcess[str]":
        """What the preStop hook runs."""
        command = [sys.executable, str(KUBERAY / "base/drain.py"), f"{seconds:g}"]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=seconds + 60)

    def terminate(self) -> float:
        """As the kubelet ends a container; returns how many seconds it took."""
        begun = time.monotonic()
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.terminate()
        try:
            self.process.wait(END_S)
        finally:
            for one in (self.process, *children):
                with suppress(psutil.Error, ProcessLookupError):
                    one.kill()
        return time.monotonic() - begun


@dataclass(kw_only=True)
class Nodes:
    """A head and its workers."""

    folder: Path
    port: int
    dashboard: str
    """Its URL."""
    environment: dict[str, str]
    """Of a driver: the token and where the head is."""
    overlay: str
    running: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The head's."""
        return f"127.0.0.1:{self.port}"

    def start(self, pod: Pod, name: str, **flags: object) -> Node:
        """Start a pod's node, some flags of its command being others, as ports are shared with this machine."""
        agent = free_port()
        flags |= {"dashboard-agent-listen-port": agent, "metrics-export-port": free_port()}
        flags |= {"node-ip-address": "127.0.0.1"}
        kept = [word for word in pod.start.split() if word.removeprefix("--").partition("=")[0] not in flags]
        command = " ".join(["ulimit -n 4096; exec", RAY, "start", *kept, *(f"--{k}={v}" for k, v in flags.items())])
        named = {"RAY_CLOUD_INSTANCE_ID": name, "RAY_NODE_TYPE_NAME": pod.group}
        plain = {key: value for key, value in pod.environment.items() if value is not None and key != "HOME"}
        environment = {**self.environment, **plain, **named}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                ["/bin/bash", "-c", "--", command.replace("HEAD:6379", self.address)],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        node = Node(name=name, process=process, environment=environment, agent=f"http://127.0.0.1:{agent}/api/healthz")
        self.running.append(node)
        self._wait_for(node)
        return node

    def start_worker(self, name: str, cpus: int) -> Node:
        """A worker's node with so many CPUs."""
        worker = next(pod for pod in pods_of(render(self.overlay)) if pod.group == "workers")
        return self.start(worker, name, **{"num-cpus": cpus, "memory": 10**9})

    def _wait_for(self, node: Node) -> None:
        log = self.folder / f"{node.name}.log"
        deadline = time.monotonic() + START_S
        while "Ray runtime started" not in log.read_text():
            assert node.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


@contextmanager
def nodes_of(overlay: str) -> Iterator[Nodes]:
    """An overlay's head, which wants a token; it ends with the `with`, and its workers with it."""
    # Not in tmp_path: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pods-", dir="/tmp", ignore_cleanup_errors=True) as text:
        folder, port, dashboard_port = Path(text), free_port(), free_port()
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        environment = {**os.environ, **token, "RAY_ADDRESS": f"127.0.0.1:{port}", "PABCAST_STORE": f"{folder}/store"}
        nodes = Nodes(
            folder=folder,
            port=port,
            dashboard=f"http://127.0.0.1:{dashboard_port}",
            environment=environment,
            overlay=overlay,
        )
        try:
            (head,) = (pod for pod in pods_of(render(overlay)) if pod.group == "head")
            flags = {"port": port, "dashboard-port": dashboard_port, "ray-client-server-port": free_port()}
            nodes.start(head, "head", **flags, **{"temp-dir": f"{folder}/ray", "memory": 10**9})
            yield nodes
        finally:
            for node in reversed(nodes.running):
                node.terminate()
