"""What is said of a store that was probed, and that a folder is left as it was."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from pipelines.doctor.store import judge_store, look_at_endpoint, look_at_store
from pipelines.doctor.wanted import Wanted
from pipelines.store import ProbeResult

LOCK = ProbeResult(conditional_put="lock", message="s3://b/x can be written; its conditional put is a lock")
NO_LOCK = ProbeResult(conditional_put="no lock", message="s3://b/x has no lock: two jobs collide; run one at a time")


@pytest.mark.parametrize(
    ("result", "seconds", "status"), [(LOCK, 0.3, "ok"), (LOCK, 7.0, "warning"), (NO_LOCK, 0.3, "failed")]
)
def test_a_store_must_be_a_lock_and_should_be_near(result: ProbeResult, seconds: float, status: str) -> None:
    line = judge_store(result, seconds)
    assert (line.status, line.found.endswith(f"tried in {seconds:.1f} s")) == (status, True)
    assert bool(line.way_out) == (status != "ok")


def test_a_folder_is_left_as_it_was(tmp_path) -> None:
    (line,) = look_at_store(Wanted(store=str(tmp_path / "a/b")))
    assert line.status == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    assert look_at_store(Wanted(store=str(tmp_path / "kept")))[0].status == "ok"
    assert list(tmp_path.rglob("*")) == [tmp_path / "kept"]


def test_a_folder_that_cannot_be_made_has_failed_with_its_way_out() -> None:
    (line,) = look_at_store(Wanted(store="/proc/nowhere/out"))
    assert line.status == "failed"
    assert line.found.startswith("/proc/nowhere/out cannot be")
    assert "give another folder" in line.way_out


def test_doctors_that_try_one_folder_at_once_all_pass_and_leave_none_of_it(tmp_path) -> None:
    folder = tmp_path / "a/b"
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        lines = [line for found in pool.map(look_at_store, [Wanted(store=str(folder))] * 12) for line in found]
    assert [line.found for line in lines if line.status == "failed"] == []
    assert len(lines) == 12
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("url", ["nonsense", "host:9000", "//host", "http://", "ftp://host", "http://host:x"])
def test_an_endpoint_that_is_no_url_is_told_and_not_reached_for(variable, url, monkeypatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, url)
    (line,) = look_at_endpoint(Wanted())
    assert (line.status, line.found) == ("failed", f"{variable} is no URL")
