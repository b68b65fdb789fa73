"""A worker's pod that ends: the hook and the signal on real nodes, started by the manifest's own commands."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.kuberay.nodes import Nodes, nodes_of
from tests.infra.kuberay.operator import pods_of
from tests.infra.kuberay.rendering import named, render
from tests.infra.kuberay.test_pods import END_S, LEAVE_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
VIDEOS = 24


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with nodes_of("cpu-job") as running:
        yield running


def start_job(nodes: Nodes, folder: Path) -> "subprocess.Popen[str]":
    """The overlay's job, of a few short videos."""
    (folder / "job.yaml").write_text(named(render("cpu-job"), "ConfigMap", "pabcast-config")["data"]["job.yaml"])
    (folder / "prompts.txt").write_text("a red circle moving left\n" * VIDEOS)
    command = [sys.executable, "-m", "pipelines.cli", "run", str(folder / "job.yaml"), "--json"]
    command += [f"input.path={folder}/prompts.txt", "sampling.steps=12", "cluster.threads_per_worker=1"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=nodes.environment, stdout=pipe, stderr=pipe, text=True)


def committed(nodes: Nodes) -> int:
    return len(list((nodes.folder / "store/demo/_pabcast/commits").rglob("*.json")))


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_worker_that_ends_is_drained_in_its_grace_and_its_videos_are_made_elsewhere(
    nodes: Nodes, tmp_path: Path
) -> None:
    first = nodes.start_worker("first", cpus=1)
    for node in nodes.running:
        assert status_of(node.agent) == 200, "what the operator's probes ask needs no token"
    assert status_of(f"{nodes.dashboard}/api/version") == 401
    job = start_job(nodes, tmp_path)
    try:
        while committed(nodes) < 2:
            assert job.poll() is None, job.communicate()[1]
            time.sleep(0.1)
        second = nodes.start_worker("second", cpus=1)
        worker = next(pod for pod in pods_of(render("cpu-job")) if pod.group == "workers")
        drain_s, begun = float(worker.environment["PABCAST_DRAIN_S"]), time.monotonic()
        hook = first.run_hook(drain_s)
        hook_s = time.monotonic() - begun
        assert job.poll() is None, "the job ended before the node did"
        signal_s = first.terminate()
        out, err = job.communicate(timeout=400)
    finally:
        job.kill()
        job.wait()
    assert (hook.returncode, "has left" in hook.stdout) == (0, True), hook.stdout + hook.stderr
    assert hook_s < drain_s + LEAVE_S
    assert signal_s < END_S
    assert job.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert (summary["committed"], summary["failed"]) == (VIDEOS, 0)
    assert second.process.poll() is None


def test_the_hook_returns_at_once_where_there_is_nothing_to_drain(nodes: Nodes) -> None:
    worker = nodes.start_worker("worker", cpus=1)
    assert "has left" in worker.run_hook(60).stdout
    begun = time.monotonic()
    again = worker.run_hook(60)
    assert (again.returncode, "no living node" in again.stdout) == (0, True)
    worker.terminate()
    nodes.running[0].terminate()
    alone = worker.run_hook(60)
    assert (alone.returncode, "is not there" in alone.stdout) == (0, True), alone.stderr
    assert time.monotonic() - begun < 60


def test_without_its_hook_a_worker_drains_on_the_signal(nodes: Nodes) -> None:
    worker = nodes.start_worker("worker", cpus=1)
    again_s = float(worker.environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert worker.terminate() < again_s + END_S
    assert "no living node" in worker.run_hook(10).stdout
