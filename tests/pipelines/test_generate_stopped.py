"""`pabcast generate`, stopped: one line, and no process left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.places import ROOT
from tests.pipelines.test_job_killed import left_of


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("awaited", ["gcs_server", "ray::Worker"])
def test_it_says_one_line(tmp_path: Path, tiny_model: Path, number: signal.Signals, awaited: str) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "generate", "a cat", "--model", str(tiny_model), "--steps", "250"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "x.mp4")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not any(its.name().startswith(awaited) for its in left_of(process.pid)):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err
    assert left_of(process.pid) == []
