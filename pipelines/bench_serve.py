"""`pabcast bench serve`: an endpoint of its own under many clients."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from cluster.errors import ClusterError
from pipelines.bench_clients import Clients, Heard
from pipelines.orphans import processes_of
from pipelines.serving.endpoint import APPLICATION

READY_S = 240.0
GONE_S = 60.0
SETTLE_S = 5
"""Of the load, after which memory is looked at for the first time."""
_REPLICA = f"ray::ServeReplica:{APPLICATION}:"
PARTS = {f"{_REPLICA}clerk": "clerk", f"{_REPLICA}ingress": "ingress", "ray::Pool": "pool", "ray::Worker": "workers"}


@dataclass(frozen=True, kw_only=True)
class ServeLoad:
    """What an endpoint was asked and answered."""

    clients: int
    seconds: float
    arrive_s: float
    """In which they came."""
    idle: Heard
    """By one client, on an idle endpoint."""
    load: Heard
    """By all of them at once."""
    memory_mb: Mapping[str, tuple[float, float]]
    """Of the endpoint's processes by part: soon after the load began, and at its end."""

    @property
    def p99_to_idle(self) -> float:
        """A GET's 99th percentile under load over the median on an idle endpoint."""
        return self.load.p99_ms / self.idle.median_ms


def measure_serving(
    config: str, overrides: list[str], *, clients: int, seconds: float, arrive_s: float, on_second: Callable[[], None]
) -> ServeLoad:
    """Start an endpoint of `config` on a port and a store of its own, load it, and end it.

    Raises:
        ClusterError: it does not start, or answers nothing.
    """
    with TemporaryDirectory() as folder, _endpoint(config, overrides, Path(folder)) as (pid, url):
        everyone = Clients(url, {"prompt": "a red circle moving left over a black background"})
        idle = asyncio.run(everyone.one_by_one())
        _check(idle, "idle")
        looks = [_memory_mb(pid)]

        def second() -> None:
            on_second()
            looks.append(_memory_mb(pid))

        load = asyncio.run(everyone.at_once(clients, seconds, arrive_s, second))
        _check(load, "loaded")
    first, last = looks[min(SETTLE_S, len(looks) - 1)], looks[-1]
    return ServeLoad(
        clients=clients,
        seconds=seconds,
        arrive_s=arrive_s,
        idle=idle,
        load=load,
        memory_mb={part: (first.get(part, 0.0), used) for part, used in last.items()},
    )


@contextmanager
def _endpoint(config: str, overrides: list[str], folder: Path) -> Iterator[tuple[int, str]]:
    """The process and the address of one that is ready."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    own = ["http.host=127.0.0.1", f"http.port={port}", f"store.uri={folder / 'store'}"]
    command = [sys.executable, "-m", "pipelines.cli", "serve", config, *overrides, *own]
    log = folder / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(process, url, log)
        yield process.pid, url
    finally:
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)  # nobody waits for what is left to make
        process.wait(GONE_S)


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while not _is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ClusterError(f"the endpoint did not start: {log.read_text().strip()[-2000:]}")
        time.sleep(0.3)


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _check(heard: Heard, how: str) -> None:
    if len(heard.get_s) < 2:
        said = dict(heard.problems) or f"answers by status: {dict(heard.statuses)}"
        raise ClusterError(f"the {how} endpoint was not seen to make a video: {said}")


def _memory_mb(pid: int) -> dict[str, float]:
    """Resident memory of the endpoint's processes, by part."""
    found: dict[str, float] = defaultdict(float)
    for own in (pid, *(process.pid for process in processes_of(pid))):
        with suppress(psutil.Error):  # one that has ended counts nothing, the endpoint's first one too
            process = psutil.Process(own)
            title = " ".join(process.cmdline())
            part = next((part for begin, part in PARTS.items() if title.startswith(begin)), "others")
            found[part] += process.memory_info().rss / 1e6
    return dict(found)
