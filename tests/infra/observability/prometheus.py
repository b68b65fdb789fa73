"""A real Prometheus for tests, with the project's own config at a cluster's addresses."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipelines.places import ROOT
from tests.ray_head import RayHead, free_port

CONFIG = ROOT / "infra/observability/prometheus-head.yml"
READY_S = 60.0


def config_of(head: RayHead, endpoint: str, folder: Path, token: str = "") -> str:
    """The config for this cluster, its token and that endpoint (host:port), in `folder`, asking every second."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    config["global"] = dict.fromkeys(config["global"], "1s")
    config["rule_files"] = [str(CONFIG.with_name(name)) for name in config["rule_files"]]
    nodes, figures = config["scrape_configs"]
    (discovery,) = nodes["http_sd_configs"]
    assert discovery["url"].startswith("http://127.0.0.1:8265/")
    discovery["url"] = discovery["url"].replace("http://127.0.0.1:8265", head.dashboard)
    discovery["refresh_interval"] = "1s"
    discovery["authorization"]["credentials_file"] = str(folder / "ray-token")
    (folder / "ray-token").write_text(token)
    (name,) = figures["file_sd_configs"][0]["files"]
    (folder / name).write_text(json.dumps([{"targets": [endpoint]}]))
    return yaml.safe_dump(config)


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
