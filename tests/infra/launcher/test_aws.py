"""aws.yaml from end to end, with moto's server for EC2: what a job reserves makes Ray start machines of that kind."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from moto.server import ThreadedMotoServer

from pipelines.places import ROOT
from tests.infra.launcher.clusters import checked, read, start_arguments

RAY = str(Path(sys.executable).with_name("ray"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """EC2 and IAM with the two instance profiles that README.md wants, and a home folder of our own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    variables = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": read("aws")["provider"]["region"]}
    variables |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "HOME": str(tmp_path)}
    variables |= {"PYTHONPATH": str(ROOT), "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    (tmp_path / "token").write_text(secrets.token_hex(32))
    variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    iam = boto3.client("iam")
    for profile in ("pabcast-head", "pabcast-worker"):
        iam.create_instance_profile(InstanceProfileName=profile)
    yield boto3.client("ec2")
    server.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not in tmp_path: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def head(folder: Path) -> Iterator[str]:
    """Ray's head as aws.yaml starts it, with what `ray up` exports; ports are our own, and it ends with its parent."""
    config = checked(read("aws"))
    file = folder / "config.json"
    command = [sys.executable, "-m", "tests.infra.launcher.bootstrap", "aws", str(file)]
    machine = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=400).stdout
    kind = config["available_node_types"]["head"]
    exported = {
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": machine.splitlines()[-1],
        "RAY_NODE_TYPE_NAME": "head",
        "RAY_OVERRIDE_RESOURCES": json.dumps(kind["resources"]),
        "RAY_OVERRIDE_LABELS": json.dumps(kind["labels"]),
    }
    port = free_port()
    ours = {"--port": port, "--object-manager-port": free_port(), "--metrics-export-port": free_port()}
    ours |= {"--autoscaling-config": file, "--ray-client-server-port": free_port(), "--temp-dir": folder / "ray"}
    ours |= {"--dashboard-port": free_port(), "--dashboard-agent-listen-port": free_port()}
    given = [one for one in start_arguments(config["head_start_ray_commands"]) if one.split("=")[0] not in ours]
    started = [RAY, "start", *given, *(f"{name}={value}" for name, value in ours.items()), "--block"]
    environment = {**os.environ, **exported, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    process = psutil.Popen(started, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert any("Ray runtime started" in line for line in process.stdout), process.poll()
        yield f"127.0.0.1:{port}"
    finally:
        end(process)


def end(process: psutil.Popen) -> None:
    family = [*process.children(recursive=True), process]
    for one in family:
        try:
            one.terminate()
        except psutil.NoSuchProcess:
            continue
    for one in psutil.wait_procs(family, 15)[1]:
        one.kill()


def machines(cloud: Any) -> list[dict[str, Any]]:
    found = cloud.describe_instances(Filters=[{"Name": "tag:ray-node-type", "Values": ["worker"]}])
    return [machine for one in found["Reservations"] for machine in one["Instances"]]


def test_a_domain_on_spot_and_one_on_demand_start_a_machine_of_their_kind_each(cloud: Any, folder: Path) -> None:
    found: list[dict[str, Any]] = []
    with head(folder) as address:
        for market, workers in (("spot", 8), ("on_demand", 4)):
            command = [sys.executable, "-m", "tests.infra.launcher.ask", address, market, str(workers)]
            driver = subprocess.Popen(command, cwd=ROOT)
            try:
                found.append(first_new(cloud, {machine["InstanceId"] for machine in found}))
            finally:
                driver.kill()
                driver.wait()
    spot, on_demand = found
    assert (spot["InstanceType"], spot.get("InstanceLifecycle")) == ("p5.48xlarge", "spot")
    assert (on_demand["InstanceType"], on_demand.get("InstanceLifecycle")) == ("g6e.12xlarge", None)
    for machine in found:
        assert machine["IamInstanceProfile"]["Arn"].endswith("/pabcast-worker")


def first_new(cloud: Any, known: set[str]) -> dict[str, Any]:
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        for machine in machines(cloud):
            if machine["InstanceId"] not in known:
                return machine
        time.sleep(1)
    raise AssertionError("no machine was started")
