"""Endpoints on a Ray cluster that is there: beside a job, and deployed by Ray Serve's own commands."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from openai import OpenAI

from pipelines.places import ROOT
from tests.pipelines.serving.endpoint import running
from tests.ray_head import NO_TOKEN, RayHead, free_port, ray_head

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ONLINE = 6
"""Requests; of so few the 95th percentile is the longest."""
STEPS = 20
OFFLINE_ROWS = 30
READY_S = 240.0


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with ray_head(4, dashboard=True) as running_head:
        yield running_head


def waits(client: OpenAI) -> list[float]:
    """Seconds from asking for a video to its first step, of one after the other."""
    found = []
    for _ in range(ONLINE):
        begun = time.monotonic()
        video = client.videos.create(prompt="a red circle", extra_body={"num_inference_steps": STEPS})
        while client.videos.retrieve(video.id).status == "queued":
            time.sleep(0.02)
        found.append(time.monotonic() - begun)
        while client.videos.retrieve(video.id).status != "completed":
            time.sleep(0.05)
    return found


def start_job(folder: Path, address: str) -> "subprocess.Popen[str]":
    """A job whose pool is the endpoint's, with more videos than there is time for."""
    prompts = "".join(json.dumps({"prompt": f"a cat number {number}"}) + "\n" for number in range(OFFLINE_ROWS))
    (folder / "p.jsonl").write_text(prompts)
    command = [
        *(sys.executable, "-m", "pipelines.cli", "run", str(ROOT / "configs/demo.yaml"), "--json"),
        *(f"input.path={folder}/p.jsonl", f"output.uri={folder}/out", f"sampling.steps={STEPS}"),
        *("gang.width=1", f"cluster.address={address}", "cluster.workers=2"),
    ]
    return subprocess.Popen(command, cwd=ROOT, env=NO_TOKEN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def committed(folder: Path) -> int:
    return len(list((folder / "out/_pabcast/commits").rglob("*.json")))


@pytest.mark.long
def test_a_video_of_the_endpoint_waits_for_one_of_a_job_at_most(head: RayHead, tmp_path: Path) -> None:
    overrides = [f"cluster.address={head.address}", "gang.width=1", "http.replicas=1"]
    with running(tmp_path, *overrides, environment=NO_TOKEN) as endpoint:
        alone = waits(endpoint.client())
        job = start_job(tmp_path, head.address)
        try:
            while committed(tmp_path) < 4:
                assert job.poll() is None, job.communicate()[1]
                time.sleep(0.1)
            beside = waits(endpoint.client())
            assert job.poll() is None, "the job ended before the requests did"
            out, err = job.communicate(timeout=600)
        finally:
            job.kill()
            job.wait()
    assert job.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert (summary["committed"], summary["failed"]) == (OFFLINE_ROWS, 0)
    seconds = pq.read_table(tmp_path / "out/metadata.parquet", columns=["seconds"])["seconds"].to_pylist()
    assert max(beside) <= max(alone) + max(seconds), (alone, beside, max(seconds))


def test_it_is_deployed_by_serve_deploy(head: RayHead, tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "configs/serve-deploy.yaml").read_text())
    port = free_port()
    config["http_options"]["port"] = config["applications"][0]["args"]["http.port"] = port
    config["applications"][0]["args"] |= {"store.uri": str(tmp_path / "store"), "sampling.steps": 4}
    file = tmp_path / "deploy.yaml"
    file.write_text(yaml.safe_dump(config))
    serve("deploy", str(file), f"--address={head.dashboard}")
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_S
        while not is_ready(url):
            assert time.monotonic() < deadline, serve("status", f"--address={head.dashboard}")
            time.sleep(0.5)
        client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30)
        video = client.videos.create_and_poll(prompt="a red circle", poll_interval_ms=200)
        assert (video.status, video.progress) == ("completed", 100)
        assert len(list((tmp_path / "store/content").iterdir())) == 1
    finally:
        serve("shutdown", f"--address={head.dashboard}", "-y")


def serve(*arguments: str) -> str:
    """Run Ray Serve's command."""
    command = [str(Path(sys.executable).with_name("serve")), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=NO_TOKEN, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
