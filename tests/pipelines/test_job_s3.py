"""The job against a bucket: the same dataset as in a folder, also from a store that fails a third of the time."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.metadata import METADATA_KEY
from pipelines.places import ROOT
from pipelines.store import open_store
from tests.pipelines.conftest import S3Server
from tests.pipelines.faults import FaultProxy

PROMPTS = [{"prompt": "a cat"}, {"prompt": "a dog", "seed": 3}, {"prompt": "a bird", "num_samples": 3}, {"prompt": ""}]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    return file


def run(model: Path, prompts: str | Path, uri: str | Path) -> dict[str, Any]:
    """The summary of a job in a process of its own, whose local Ray has this process's AWS variables."""
    command = [
        *(sys.executable, "-m", "pipelines.cli", "run", str(ROOT / "configs/demo.yaml"), "--json"),
        *(f"model={model}", f"input.path={prompts}", f"output.uri={uri}", "gang.width=1"),
        *("sampling.steps=2", "sampling.height=32", "sampling.width=32"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 3, done.stderr
    assert os.environ.get("AWS_SECRET_ACCESS_KEY", "no secret") not in done.stderr + done.stdout
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def rows(uri: str | Path) -> dict[str, dict[str, Any]]:
    """The rows of a dataset's metadata by sample, without the times, which differ from run to run."""
    import pyarrow.parquet as pq

    with open_store(str(uri)).open(METADATA_KEY) as file:
        table = pq.read_table(file).to_pylist()
    times = ("seconds", "started_at", "created_at")
    return {row["sample_id"]: {name: row[name] for name in row if name not in times} for row in table}


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.timeout(900)
def test_a_bucket_gets_the_same_dataset_as_a_folder(
    real_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, prompts: Path, tmp_path: Path
) -> None:
    use(real_s3_server, monkeypatch)
    bucket = real_s3_server.make_bucket()
    open_store(f"s3://{bucket}/in").put("prompts.jsonl", prompts.read_bytes())
    local = run(tiny_model, prompts, tmp_path / "out")
    remote = run(tiny_model, f"s3://{bucket}/in", f"s3://{bucket}/data/set")
    assert (local["committed"], local["failed"]) == (remote["committed"], remote["failed"]) == (5, 1)
    assert rows(tmp_path / "out") == rows(f"s3://{bucket}/data/set")
    assert run(tiny_model, f"s3://{bucket}/in", f"s3://{bucket}/data/set")["skipped"] == 5


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.timeout(900)
def test_a_store_that_answers_503_to_a_third_of_the_requests_loses_nothing(
    real_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, prompts: Path
) -> None:
    use(real_s3_server, monkeypatch)
    uri = f"s3://{real_s3_server.make_bucket()}/set"
    with FaultProxy(real_s3_server.endpoint, share=1 / 3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        summary = run(tiny_model, prompts, uri)
        assert proxy.failed > 10
    monkeypatch.setenv("AWS_ENDPOINT_URL", real_s3_server.endpoint)
    assert (summary["committed"], summary["failed"], summary["rows"]) == (5, 1, 5)
    store = open_store(uri)
    assert all(store.exists(row["file_name"]) for row in rows(uri).values())
    assert len(list(store.list("_pabcast/commits/"))) == len(list(store.list("videos/"))) == 5


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.timeout(900)
def test_neither_rays_logs_nor_the_dataset_have_the_keys_to_the_bucket(
    real_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, prompts: Path
) -> None:
    use(real_s3_server, monkeypatch)
    store = open_store(f"s3://{real_s3_server.make_bucket()}/set")
    # Not in tmp_path: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        run(tiny_model, prompts, store.uri)
        logs = {str(path): path.read_bytes() for path in Path(folder).rglob("logs/**/*") if path.is_file()}
    kept = {found.key: store.get(found.key) for found in store.list("")}
    kept["rows"] = repr(rows(store.uri)).encode()
    assert any("gcs_server" in name for name in logs)
    assert METADATA_KEY in kept
    assert "_pabcast/run.yaml" in kept
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        key = os.environ[name].encode()
        assert [file for file, content in (logs | kept).items() if key in content] == []


def use(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
