"""Which disks are looked at, and how full they may be."""

from pathlib import Path

import pytest

from pipelines.doctor.disk import Space, judge_space, look_at_disks, places
from pipelines.doctor.wanted import Wanted

GB = 10**9


def test_every_place_that_is_written_to_is_looked_at_once_a_disk(tmp_path: Path) -> None:
    wanted = Wanted(store=str(tmp_path / "not/there"))
    environment = {"RAY_TMPDIR": "/var/ray", "RAY_object_spilling_directory": str(tmp_path)}
    found = places(wanted, environment)
    assert found["Ray"] == Path("/var/ray")
    assert found["what Ray spills"] == tmp_path
    assert found["--store"] == tmp_path / "not/there"
    lines = look_at_disks(wanted)
    assert {line.name for line in lines} == {"disk"}
    assert sum("--store" in line.found for line in lines) == 1
    assert not (tmp_path / "not").exists()


def test_a_bucket_takes_no_space_here() -> None:
    assert set(places(Wanted(store="s3://bucket/x"), {})) == {"temporary files", "Ray"}


@pytest.mark.parametrize(
    ("free", "total", "role", "status"),
    [
        (100, 200, "Ray", "ok"),
        (9, 100, "output.uri", "warning"),
        (40, 1000, "Ray", "warning"),
        (40, 1000, "output.uri", "ok"),
        (0.5, 8, "output.uri", "failed"),
    ],
)
def test_a_full_disk_is_told_by_what_it_is_for(free: float, total: float, role: str, status: str) -> None:
    line = judge_space([role], Path("/data"), Space(free=int(free * GB), total=int(total * GB)))
    assert line.status == status
    assert f"free at /data, for {role}" in line.found
    assert bool(line.way_out) == (status != "ok")


def test_rays_share_of_a_full_disk_is_what_ray_says() -> None:
    line = judge_space(["Ray"], Path("/data"), Space(free=40 * GB, total=1000 * GB))
    assert "it is 96.0% full, and from 95% on Ray spills nothing there" in line.found
