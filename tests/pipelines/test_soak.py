"""A short soak; the full one, half an hour on two cores, is run by hand:

python -m tests.pipelines.soak --videos 100 --kills 40 --seed 1 --steps 40 MODEL OUT
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.places import ROOT
from tests.pipelines.soak import KINDS, draw_faults

VIDEOS, KILLS, SEED, STEPS = 8, 5, 1, 100


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_job_under_fire_makes_every_video_once_to_the_bit_and_leaves_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    flags = [f"--videos={VIDEOS}", f"--kills={KILLS}", f"--seed={SEED}", f"--steps={STEPS}"]
    command = [sys.executable, "-m", "tests.pipelines.soak", *flags]
    said = subprocess.run([*command, str(tiny_model), str(tmp_path / "soak")], cwd=ROOT, capture_output=True, text=True)
    report = json.loads(said.stdout.splitlines()[-1])
    assert report["good"], f"{report}\n{said.stderr}"
    assert sum(report["kills"].values()) == KILLS
    assert report["kills"].keys() == KINDS.keys()


def test_every_kind_of_fault_strikes_and_the_seed_decides_when() -> None:
    faults = draw_faults(KILLS, VIDEOS, SEED)
    assert {fault.kind for fault in faults} == KINDS.keys()
    assert faults == draw_faults(KILLS, VIDEOS, SEED) != draw_faults(KILLS, VIDEOS, SEED + 1)
    assert [fault.commits for fault in faults] == sorted(fault.commits for fault in faults)
    assert all(fault.commits < VIDEOS for fault in faults)
