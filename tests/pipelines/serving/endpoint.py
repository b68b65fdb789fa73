"""A real endpoint: `pabcast serve` in a process of its own, with the demo model, and OpenAI's client for it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from openai import OpenAI

from pipelines.orphans import processes_of
from pipelines.places import ROOT
from tests.ray_head import free_port

READY_S = 240.0
GONE_S = 60.0


class Endpoint:
    """Start it with `start`; what it has started dies with `kill` or `stop`."""

    def __init__(self, folder: Path, *overrides: str, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is one of a cluster that it joins."""
        self.port = free_port()
        self._environment = {**os.environ, **(environment or {}), "PYTHONPATH": str(ROOT)}
        self.store = folder / "store"
        self._log = folder / "serve.log"
        self._arguments = [f"http.port={self.port}", f"store.uri={self.store}", *overrides]
        self._process: subprocess.Popen[bytes] | None = None
        self._told = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self) -> None:
        """Returns once a gang can be had."""
        command = [sys.executable, "-m", "pipelines.cli", "serve", str(ROOT / "configs/serve.yaml"), *self._arguments]
        self._told = False
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, cwd=self._log.parent, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_S
        while self.get("/readyz")[0] != 200:
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.3)

    def get(self, path: str, key: str = "", **headers: str) -> tuple[int, bytes]:
        """Status and body; 0 if nobody answers."""
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, object], dict[str, str]]:
        """Status, JSON and headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data=body, headers=named, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read()), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read()), dict(error.headers)

    def client(self, key: str = "none") -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=30)

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Those that it has started and that live, of which the command line begins with `title`."""
        assert self._process is not None
        found = processes_of(self._process.pid)
        return [process for process in found if not title or _title(process).startswith(title)]

    def kill(self) -> None:
        """All of it at once, as when a machine goes."""
        assert self._process is not None
        left = self.processes()
        self._process.kill()
        self._process.wait()
        for process in left:
            if process.is_running():
                process.kill()
        _wait_for(left, GONE_S)

    def tell_to_stop(self) -> None:
        """By SIGTERM, the first of which lets what runs end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._told = True

    def stop(self) -> int:
        """By SIGTERM, unless it has been told; returns its exit status."""
        assert self._process is not None
        if not self._told:
            self.tell_to_stop()
        try:
            status = self._process.wait(GONE_S)
        finally:
            if _wait_for(self.processes(), 10):
                self.kill()
        return status


@contextmanager
def running(folder: Path, *overrides: str, environment: Mapping[str, str] | None = None) -> Iterator[Endpoint]:
    """One that is started, and stopped at the end."""
    endpoint = Endpoint(folder, *overrides, environment=environment)
    try:
        endpoint.start()
        yield endpoint
    finally:
        endpoint.stop()


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _wait_for(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those that still run after so long; one that nobody has taken leave of does not."""
    deadline = time.monotonic() + timeout_s
    while living := [process for process in processes if _lives(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return living


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
