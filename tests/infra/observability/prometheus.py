"""A real Prometheus for tests, with the project's own config at a cluster's addresses."""

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.places import ROOT
from tests.ray_head import RayHead, free_port

CONFIG = ROOT / "infra/observability/prometheus-remote.yml"
ADDRESSES = ("http://pabcast-head-svc:8265", "pabcast-endpoint-serve-svc:8000")
"""What a user sets in it: the head's dashboard and the endpoint."""
QUICK = {"15s": "1s", "refresh_interval: 10s": "refresh_interval: 1s"}
READY_S = 60.0


def config_of(head: RayHead, endpoint: str) -> str:
    """The config for this cluster and that endpoint (host:port), asking every second."""
    text = CONFIG.read_text().replace("alerts.yml", str(CONFIG.with_name("alerts.yml")))
    for old, new in {**dict(zip(ADDRESSES, (head.dashboard, endpoint), strict=True)), **QUICK}.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def prometheus(folder: Path, config: str) -> Iterator[str]:
    """The URL of one that keeps its data in `folder`; stopped with the `with`."""
    (folder / "prometheus.yml").write_text(config)
    port = free_port()
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("w") as log:
        server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}", server, folder / "prometheus.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
