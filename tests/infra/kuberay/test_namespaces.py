"""A head and two workers by the manifests' start commands, each in a network of its own, and a job from outside."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.places import ROOT
from tests.infra.kuberay import namespaces
from tests.infra.kuberay.operator import pods_of
from tests.infra.kuberay.rendering import custom, render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.s3,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not namespaces.can_be_had(), reason="namespaces want root and Linux's ip, unshare and nsenter"),
]
RAY = str(Path(sys.executable).with_name("ray"))
PROMPTS = ["a red circle moving left over a black background", "a green square moving right over a gray background"]
STEPS = 400
DRAIN_S = "30"
"""Less than a video takes, so that it has to leave; the manifests give it longer."""
INSTALLED = ("cluster", "actors", "pipelines", "configs")


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A Ray cluster as the manifests make it, and a bucket."""

    head: namespaces.Node
    workers: tuple[namespaces.Node, ...]
    token: str
    entrypoint: str
    store: dict[str, str]

    def ray_job(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`ray job ...`, from outside the cluster."""
        environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        environment["RAY_ADDRESS"] = f"http://{self.head.address}:8265"
        return subprocess.run(
            [RAY, "job", *words], env=environment, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[namespaces.Network]:
    with namespaces.Network(tmp_path_factory.mktemp("pods")) as found:
        yield found


@pytest.fixture(scope="module")
def bucket(network: namespaces.Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The AWS variables of a real S3 server that the pods reach, and PABCAST_STORE."""
    folder = tmp_path_factory.mktemp("s3") / "rgw"
    if shutil.which("radosgw") is None:
        pytest.skip("no Ceph RGW")
    subprocess.run([ROOT / "infra/s3/rgw-up.sh", folder, "17890", network.address], check=True, timeout=120)
    try:
        lines = (folder / "env").read_text().splitlines()
        variables = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        client(variables).create_bucket(Bucket=name)
        yield {**variables, "PABCAST_STORE": f"s3://{name}"}
    finally:
        subprocess.run([ROOT / "infra/s3/rgw-down.sh", folder], check=True, timeout=60)


def client(variables: dict[str, str]) -> "boto3.client":
    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


@pytest.fixture(scope="module")
def cloud(network: namespaces.Network, bucket: dict[str, str]) -> Cloud:
    """A head and two workers of the job's overlay for CPUs."""
    objects = render("cpu-job")
    head_pod, worker_pod = pods_of(objects)[:2]
    token = uuid.uuid4().hex * 2
    secrets = {**bucket, "RAY_AUTH_TOKEN": token, "PABCAST_DRAIN_S": DRAIN_S}
    head = network.node(head_pod, objects, secrets)
    workers = tuple(network.node(worker_pod, objects, secrets) for _ in range(2))
    head.start(head.address)
    wait_for(head, "Ray runtime started")
    for worker in workers:
        worker.start(head.address)
    for worker in workers:
        wait_for(worker, "Ray runtime started")
    entrypoint = custom(objects)["spec"]["entrypoint"]
    return Cloud(head=head, workers=workers, token=token, entrypoint=entrypoint, store=bucket)


def wait_for(node: namespaces.Node, line: str) -> None:
    deadline = time.monotonic() + 60
    while line not in node.log:
        assert node.lives and time.monotonic() < deadline, node.log
        time.sleep(0.2)


@pytest.fixture(scope="module")
def job(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A job that makes a long video on each worker, by the code and the prompts of a working directory."""
    folder = tmp_path_factory.mktemp("work")
    for name in INSTALLED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "prompts.txt").write_text("\n".join(PROMPTS))
    words = [*cloud.entrypoint.split(), "--json", "input.path=prompts.txt", f"sampling.steps={STEPS}"]
    done = cloud.ray_job("submit", "--no-wait", "--submission-id=job", f"--working-dir={folder}", "--", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return "job"


def keys(cloud: Cloud, prefix: str) -> list[str]:
    name = cloud.store["PABCAST_STORE"].removeprefix("s3://")
    found = client(cloud.store).list_objects_v2(Bucket=name, Prefix=f"demo/{prefix}")
    return [item["Key"] for item in found.get("Contents", [])]


def test_a_job_commits_everything_while_a_worker_is_terminated_and_drains(cloud: Cloud, job: str) -> None:
    wait_until_both_run(cloud, job)
    seconds = cloud.workers[0].terminate()
    assert seconds < 60, "the grace period of a worker with so short a drain"
    assert "has left" in cloud.workers[0].log
    deadline = time.monotonic() + 400
    while "succeeded" not in (status := cloud.ray_job("status", job).stdout.lower()):
        assert "failed" not in status, cloud.ray_job("logs", job).stdout
        assert time.monotonic() < deadline, cloud.ray_job("logs", job).stdout
        time.sleep(2)
    said = cloud.ray_job("logs", job).stdout
    summary = json.loads(next(line for line in reversed(said.splitlines()) if line.startswith("{")))
    assert (summary["committed"], summary["failed"], summary["rows"]) == (2, 0, 2)
    assert summary["retries"]["drain"] == 1
    assert len(keys(cloud, "_pabcast/commits/")) == len(keys(cloud, "videos/")) == 2
    assert cloud.store["AWS_SECRET_ACCESS_KEY"] not in said + cloud.head.log
    assert cloud.token not in said + cloud.head.log


def wait_until_both_run(cloud: Cloud, job: str) -> None:
    """By the pool's own metrics, as the head exports them."""
    deadline = time.monotonic() + 200
    while busy_gangs(cloud) < 2:
        assert time.monotonic() < deadline, cloud.ray_job("logs", job).stdout
        time.sleep(1)


def busy_gangs(cloud: Cloud) -> float:
    with urllib.request.urlopen(f"http://{cloud.head.address}:8080/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == "ray_pabcast_gangs"]
    return sum(sample.value for sample in samples if sample.labels["state"] == "busy")
