"""A warm pool and jobs for it; folders, moto's S3 server and Ceph's RADOS gateway, where it is installed, as stores."""

import json
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from actors.engine import inspect_model
from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from pipelines.config import JobConfig, make_config
from pipelines.store import LocalStore, Store, open_store
from tests.pipelines.jobs import MakeJob, Rows

INFRA = Path(__file__).parents[2] / "infra/s3"


@dataclass(frozen=True)
class S3Server:
    """A running S3 server; `variables` are the AWS variables that a client of it needs."""

    kind: str
    variables: dict[str, str]

    @property
    def endpoint(self) -> str:
        return self.variables["AWS_ENDPOINT_URL"]

    def make_bucket(self) -> str:
        """The name of a new bucket."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=name)
        return name


def _free_ports(count: int) -> int:
    """The first of `count` free ports in a row."""
    for first in range(17480, 18480, count):
        for port in range(first, first + count):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        else:
            return first
    raise RuntimeError("no free ports")


def _moto() -> Iterator[S3Server]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield S3Server(
        "moto",
        {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test-access",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
    )
    server.stop()


def _rgw(folder: Path) -> Iterator[S3Server]:
    port = _free_ports(3)
    subprocess.run([INFRA / "rgw-up.sh", folder, str(port)], check=True, timeout=120)
    try:
        lines = (folder / "env").read_text().splitlines()
        yield S3Server("rgw", dict(line.removeprefix("export ").split("=", 1) for line in lines))
    finally:
        subprocess.run([INFRA / "rgw-down.sh", folder], check=True, timeout=60)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """moto's S3 server, in this process."""
    yield from _moto()


@pytest.fixture(scope="session")
def real_s3_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Ceph RGW where it is installed, moto elsewhere. For tests marked s3."""
    if shutil.which("radosgw") and shutil.which("ceph-osd") and shutil.which("ceph-mon"):
        yield from _rgw(tmp_path_factory.mktemp("rgw"))
    else:
        yield request.getfixturevalue("moto_server")


@pytest.fixture(params=["moto", pytest.param("real", marks=pytest.mark.s3)])
def s3_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """moto in the default set, the real server with ``-m s3``; its AWS variables are set for the test."""
    server: S3Server = request.getfixturevalue("moto_server" if request.param == "moto" else "real_s3_server")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    # boto3 keeps the session of its first client, with that one's keys.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return server


@pytest.fixture
def s3_uri(s3_server: S3Server) -> str:
    """A prefix in a bucket of its own."""
    return f"s3://{s3_server.make_bucket()}/data/set"


@pytest.fixture(params=["local", "moto", pytest.param("real", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of each kind."""
    if request.param == "local":
        return LocalStore(tmp_path / "out")
    server: S3Server = request.getfixturevalue("moto_server" if request.param == "moto" else "real_s3_server")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://{server.make_bucket()}/data/set")


@pytest.fixture(scope="module")
def warm_pool(ray_session: None, tiny_model: Path) -> Iterator[PoolClient]:
    """The pool that these jobs ask for, kept between them."""
    spec = PoolSpec(model=inspect_model(tiny_model).path, workers=2, threads_per_worker=1)
    with PoolClient.connect(spec) as pool:
        pool.wait_ready(120)
        yield pool


@pytest.fixture
def make_job(tmp_path: Path, tiny_model: Path) -> MakeJob:
    """Builds a job of 2 steps at 32x32; `rows` go to prompts.jsonl, keywords are sections of the config."""

    def make(rows: Rows | None = None, **sections: Any) -> JobConfig:
        if rows is not None:
            (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return make_config(
            {
                "model": str(tiny_model),
                "input": {"path": str(tmp_path / "prompts.jsonl")},
                "output": {"uri": str(tmp_path / "out")},
                "sampling": {"height": 32, "width": 32, "steps": 2, **sections.pop("sampling", {})},
                "cluster": {"workers": 2, "threads_per_worker": 1, **sections.pop("cluster", {})},
                **sections,
            }
        )

    return make
