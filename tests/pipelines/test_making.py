"""What a commit keeps of how its video was made."""

from datetime import datetime
from pathlib import Path

import pytest

from actors.engine import Engine
from actors.engine.report import bytes_saved
from cluster.pab import PabConfig
from pipelines.commits import Commits, CommittedSample
from pipelines.making import Making
from pipelines.store import LocalStore
from tests.pipelines.samples import VIDEO, request

ENDED_AT = 1_800_000_000.0


@pytest.fixture(scope="module")
def making(tiny_model: Path) -> Making:
    """Of a video of six steps, of which some broadcast."""
    pab = PabConfig(spatial=2, temporal=3, cross=6)
    wanted = request(height=32, width=32, steps=6, pab=pab)
    return Making.of(Engine.load(tiny_model).generate(wanted).report, ENDED_AT)


def test_it_counts_the_steps_that_computed_each_kind_of_the_model(making: Making) -> None:
    assert (making.evaluations, making.first_step) == (6, 0)
    assert (making.spatial_computed, making.temporal_computed, making.cross_computed) == (3, 2, 1)
    assert (making.bytes_sent, making.bytes_saved) == (0, 0), "one worker sends nothing"


def test_it_began_its_seconds_before_it_was_heard_of(making: Making) -> None:
    began = datetime.fromisoformat(making.started_at)
    assert began.utcoffset() is not None
    assert 0 < ENDED_AT - began.timestamp() < 60


def test_a_commit_keeps_it_and_a_marker_of_an_earlier_version_is_read_without_it(
    making: Making, tmp_path: Path
) -> None:
    commits = Commits(LocalStore(tmp_path))
    sample = CommittedSample.of(request(), VIDEO, source="p.txt:1", gang_width=1, seconds=2.0, making=making)
    commits.commit(sample, VIDEO)
    read = commits.read(sample.sample_id)
    assert read == sample
    assert read is not None
    assert (read.started_at, read.temporal_computed) == (making.started_at, 2)
    earlier = CommittedSample.of(request(), VIDEO, source="p.txt:1", gang_width=1, seconds=2.0)
    lines = earlier.to_json().decode().splitlines()
    new = ("started_at", "evaluations", "first_step", "_computed", "bytes_sent", "bytes_saved")
    kept = [line for line in lines if not any(f'{name}":' in line for name in new)]
    kept[-2] = kept[-2].rstrip(",")
    assert len(lines) - len(kept) == 9
    assert CommittedSample.from_json("\n".join(kept).encode()).evaluations == 0


@pytest.mark.parametrize(
    ("sent", "computes", "saved"),
    [
        (0, [True, False], 0),
        (100, [True, True], 0),
        (100, [True, False, False, False], 300),
        (90, [True, False, True, False, True], 60),
    ],
)
def test_steps_that_broadcast_save_what_those_that_compute_send(sent: int, computes: list[bool], saved: int) -> None:
    assert bytes_saved(sent, computes) == saved
