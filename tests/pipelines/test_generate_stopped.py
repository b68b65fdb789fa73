"""`pabcast generate`, stopped: one line, if anybody reads it, and no process left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.orphans import processes_of
from pipelines.places import ROOT


def start(folder: Path, model: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pipelines.cli", "generate", "a cat", "--model", str(model), "--steps", "250"]
    return subprocess.Popen(
        [*command, "--out", str(folder / "x.mp4")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(name: str, process: "subprocess.Popen[str]") -> None:
    while not any(its.name().startswith(name) for its in processes_of(process.pid)):
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("awaited", ["gcs_server", "ray::Worker"])
def test_it_says_one_line(tmp_path: Path, tiny_model: Path, number: signal.Signals, awaited: str) -> None:
    process = start(tmp_path, tiny_model)
    try:
        wait_for(awaited, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err
    assert processes_of(process.pid) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_it_ends_though_who_read_its_lines_has_gone(tmp_path: Path, tiny_model: Path) -> None:
    process = start(tmp_path, tiny_model)
    assert process.stderr is not None
    try:
        wait_for("ray::Worker", process)
        process.stderr.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    finally:
        process.kill()
    assert processes_of(process.pid) == []
