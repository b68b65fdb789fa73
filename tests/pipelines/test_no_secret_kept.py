"""Of the secrets in a job's environment nothing is kept: in its dataset, its words, its report or Ray's files."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.metadata import METADATA_KEY
from pipelines.places import ROOT

VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "HF_TOKEN", "DATABASE_PASSWORD")


def pabcast(*arguments: object, variables: Mapping[str, str]) -> bytes:
    """What the command says, on stdout and stderr."""
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below it; of what is no text its bytes, and the names of files as one more."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path): path.read_bytes() for path in files} | {"names": "\n".join(map(str, files)).encode()}


def having(kept: Mapping[str, bytes], values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Which file has the value of which variable."""
    return [(file, name) for file, held in kept.items() for name, value in values.items() if value.encode() in held]


@pytest.mark.slow
def test_no_secret_of_the_environment_is_kept_by_a_run_and_its_report(tiny_model: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    values = {name: secrets.token_hex(20) for name in VARIABLES}
    (tmp_path / "keys").write_text(f"[default]\naws_secret_access_key = {secrets.token_hex(20)}\n")
    (tmp_path / "prompts.txt").write_text("a cat\n")
    in_file = {"keys": (tmp_path / "keys").read_text().split()[-1]}
    # Not in tmp_path: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        variables = values | {"RAY_TMPDIR": folder, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")}
        size = ("sampling.steps=2", "sampling.height=32", "sampling.width=32", "gang.width=1")
        places = (f"model={tiny_model}", f"input.path={tmp_path}/prompts.txt", f"output.uri={tmp_path}/out")
        said = pabcast("run", "configs/demo.yaml", "--verbose", *places, *size, variables=variables)
        said += pabcast("report", tmp_path / "out", "--out", tmp_path / "out/report.html", variables=variables)
        kept = contents(tmp_path / "out") | contents(Path(folder)) | {"said": said}
    kept["rows"] = repr(pq.read_table(tmp_path / "out" / METADATA_KEY).to_pylist()).encode()
    for part in ("run.yaml", "/commits/", ".mp4", "report.html", "raylet.out", "gcs_server"):
        assert any(part in file for file in kept), part
    assert having(kept, values | in_file) == []
    assert having({"planted": b"x" + values["HF_TOKEN"].encode()}, values) == [("planted", "HF_TOKEN")]
