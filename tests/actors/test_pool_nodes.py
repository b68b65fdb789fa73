import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.places import ROOT
from tests.ray_head import NO_TOKEN


@pytest.mark.slow
def test_a_lost_node_fails_its_video_and_the_workers_come_back_on_another(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "tests.actors.node_loss", str(tiny_model)]
    said = subprocess.run(command, cwd=ROOT, env=NO_TOKEN, capture_output=True, text=True, timeout=240, check=True)
    lines = {line.split()[0]: line.split()[1:] for line in said.stdout.splitlines() if line.strip()}
    assert float(lines["told"][0]) < 10
    assert lines["again"][1] == "2"
