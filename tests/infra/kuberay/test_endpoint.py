"""The endpoint as KubeRay deploys it: the manifest's application on a head and a worker that want a token."""

import hashlib
import json
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai import AuthenticationError, OpenAI

from pipelines.places import ROOT
from tests.infra.kuberay.nodes import Nodes, nodes_of
from tests.infra.kuberay.rendering import custom, named, render
from tests.ray_head import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
READY_S = 240.0


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with nodes_of("cpu-endpoint") as running:
        yield running


def deploy(nodes: Nodes, folder: Path, key: str) -> str:
    """Hand the application in; returns its URL."""
    objects = render("cpu-endpoint")
    (folder / "serve.yaml").write_text(named(objects, "ConfigMap", "pabcast-config")["data"]["serve.yaml"])
    (folder / "keys.txt").write_text(f"ann:{hashlib.sha256(key.encode()).hexdigest()}\n")
    config = yaml.safe_load(custom(objects)["spec"]["serveConfigV2"])
    port = config["http_options"]["port"] = free_port()
    config["applications"][0]["args"] = {
        "config": f"{folder}/serve.yaml",
        "http.port": port,
        "auth.keys_file": f"{folder}/keys.txt",
        "sampling.steps": 4,
    }
    (folder / "deploy.yaml").write_text(yaml.safe_dump(config))
    serve(nodes, "deploy", str(folder / "deploy.yaml"))
    return f"http://127.0.0.1:{port}"


def serve(nodes: Nodes, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("serve")), *arguments, f"--address={nodes.dashboard}"]
    done = subprocess.run(command, cwd=ROOT, env=nodes.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def details(nodes: Nodes) -> dict[str, Any]:
    """What Serve tells the operator."""
    request = urllib.request.Request(f"{nodes.dashboard}/api/serve/applications/")
    request.add_header("Authorization", f"Bearer {nodes.environment['RAY_AUTH_TOKEN']}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_manifests_endpoint_makes_a_video_for_a_key_and_all_its_processes_are_on_the_head(
    nodes: Nodes, tmp_path: Path
) -> None:
    nodes.start_worker("worker", cpus=2)
    key = secrets.token_urlsafe(24)
    url = deploy(nodes, tmp_path, key)
    deadline = time.monotonic() + READY_S
    while not is_ready(url):
        assert time.monotonic() < deadline, serve(nodes, "status")
        time.sleep(0.5)
    client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)
    video = client.videos.create_and_poll(prompt="a red circle", poll_interval_ms=200)
    assert (video.status, video.progress) == ("completed", 100)
    with pytest.raises(AuthenticationError):
        OpenAI(base_url=f"{url}/v1", api_key="another", max_retries=0).videos.list()
    assert len(list((nodes.folder / "store/serve/content").iterdir())) == 1
    found = details(nodes)
    replicas = [
        replica["node_instance_id"]
        for deployment in found["applications"]["pabcast"]["deployments"].values()
        for replica in deployment["replicas"]
    ]
    proxies = [proxy["node_instance_id"] for proxy in found["proxies"].values()]
    assert len(replicas) == 3
    assert set(replicas) | set(proxies) == {"head"}
    serve(nodes, "shutdown", "-y")
