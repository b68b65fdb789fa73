"""A Ray cluster of one node that lives on when its drivers die, for tests that join it by its address."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipelines.places import ROOT

RAY = str(Path(sys.executable).with_name("ray"))
NO_TOKEN = {**os.environ, "RAY_AUTH_MODE": "disabled"}
"""Whether Ray asks for a token depends on what is in the home folder; the cluster listens on loopback only."""

END_S = 15.0
"""How long it may take over its end."""


@dataclass(frozen=True, kw_only=True)
class RayHead:
    """Where it is reached; drivers must run with `NO_TOKEN`."""

    address: str
    dashboard: str
    """The URL that `serve deploy` talks to; empty if the cluster has none."""
    pid: int
    """Of `ray start`, whose descendants all processes of the cluster are."""
    client: str
    """Where Ray Client reaches it, as ray://host:port."""


def free_port() -> int:
    """One that nobody listens at; somebody else may take it before the caller does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def ray_head(cpus: int, *, dashboard: bool = False, variables: Mapping[str, str] = NO_TOKEN) -> Iterator[RayHead]:
    """Started by `ray start` with these environment variables, and ended with the `with`, by its processes."""
    port, dashboard_port, client_port = free_port(), free_port(), free_port()
    # Not in tmp_path: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [RAY, "start", "--head", "--block", f"--port={port}", f"--num-cpus={cpus}"]
        command += [f"--ray-client-server-port={client_port}", f"--temp-dir={folder}", "--disable-usage-stats"]
        command += ["--node-ip-address=127.0.0.1", f"--include-dashboard={str(dashboard).lower()}"]
        if dashboard:
            command += [f"--dashboard-port={dashboard_port}", f"--dashboard-agent-listen-port={free_port()}"]
        head = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
        assert head.stdout is not None
        try:
            said = []
            for line in head.stdout:
                said.append(line)
                if "Ray runtime started" in line:
                    break
            assert head.poll() is None, "".join(said)
            url = f"http://127.0.0.1:{dashboard_port}" if dashboard else ""
            client = f"ray://127.0.0.1:{client_port}"
            yield RayHead(address=f"127.0.0.1:{port}", dashboard=url, pid=head.pid, client=client)
        finally:
            _end(head)


def _end(head: "subprocess.Popen[str]") -> None:
    children = psutil.Process(head.pid).children(recursive=True)
    head.terminate()
    with suppress(subprocess.TimeoutExpired):
        head.wait(END_S)
    for child in (psutil.Process(head.pid), *children) if head.poll() is None else children:
        with suppress(psutil.Error):
            if child.is_running():
                child.kill()
    head.wait(END_S)
