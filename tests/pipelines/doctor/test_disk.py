"""Which disks are looked at, and how full they may be."""

from pathlib import Path

import pytest

from pipelines.doctor.disk import Space, judge_space, judge_tmpdir, look_at_disks, look_at_places, places
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


def test_rays_folder_is_the_one_that_ray_takes_whether_it_can_be_written_or_not() -> None:
    assert places(Wanted(), {"TMPDIR": "/nowhere"})["Ray"] == Path("/nowhere")
    assert places(Wanted(), {"TMPDIR": "/nowhere", "RAY_TMPDIR": "/ray"})["Ray"] == Path("/ray")
    assert places(Wanted(), {})["Ray"] == Path("/tmp")


def test_a_tmpdir_that_python_passes_over_is_told(tmp_path: Path) -> None:
    assert judge_tmpdir(None, "/tmp") == judge_tmpdir("", "/tmp") == judge_tmpdir("/tmp/", "/tmp") == []
    (line,) = judge_tmpdir("/nowhere", "/tmp")
    assert (line.status, line.found) == ("warning", "TMPDIR=/nowhere cannot be used: temporary files go to /tmp")
    assert "unset TMPDIR" in line.way_out


def test_a_place_that_cannot_be_written_has_failed_and_nothing_is_left_in_one_that_can(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spill = "what Ray spills"
    lines = look_at_places({"Ray": Path("/proc"), spill: tmp_path / "file", "cluster.compile_cache": tmp_path / "new"})
    assert [(line.status, line.found.split(": ")[0]) for line in lines] == [
        ("failed", "/proc, for Ray, cannot be written"),
        ("failed", f"{tmp_path}/file, for {spill}, cannot be written"),
    ]
    assert "set RAY_TMPDIR to" in lines[0].way_out
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_whose_sockets_would_have_too_long_paths_has_failed() -> None:
    long = Path("/tmp") / ("x" * 60)
    (line,) = look_at_places({"Ray": long})
    assert (line.status, f"{long}, for Ray, has 65 bytes" in line.found) == ("failed", True)
    assert "set RAY_TMPDIR to a folder of at most " in line.way_out
    assert look_at_places({"Ray": Path("/tmp")}) == []


def test_of_a_store_where_there_is_no_disk_its_own_line_tells() -> None:
    lines = look_at_disks(Wanted(store="/proc/nowhere"))
    assert not any("/proc" in line.found for line in lines)
