"""What is damaged, gone or not ours in a job's output, before it runs and while it does."""

import json
import threading
import time
from pathlib import Path

import pytest

from actors.pool_client import PoolClient
from cluster.errors import ClusterError, ConfigError, StoreError
from tests.pipelines.jobs import MakeJob, commits, run, tally


def test_a_committed_video_that_is_gone_is_told(warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job([{"prompt": "a cat"}, {"prompt": "a dog"}])
    assert run(job).missing == 0
    gone = next((tmp_path / "out/videos").rglob("*.mp4"))
    gone.unlink()
    summary = run(job)
    assert (summary.skipped, summary.rows, summary.missing, summary.exit_code) == (2, 1, 1, 3)
    assert f"run again to make them anew\n  missing videos/{gone.parent.name}/{gone.name}" in summary.spell()
    for commit in (tmp_path / "out/_pabcast/commits").rglob(f"{gone.name.split('-')[0]}.json"):
        commit.unlink()
    assert tally(run(job)) == (2, 1, 1, 0)


def test_metadata_that_is_not_ours_is_not_written_over(make_job: MakeJob, tmp_path: Path) -> None:
    file = tmp_path / "out/metadata.parquet"
    file.parent.mkdir()
    file.write_text("mine")
    with pytest.raises(ConfigError, match=r"holds a metadata\.parquet that pabcast did not write"):
        run(make_job([{"prompt": "a cat"}]))
    assert file.read_text() == "mine"
    assert not (file.parent / "_pabcast/run.yaml").exists()


def test_damaged_videos_and_commits_are_told_and_the_rest_goes_on(
    warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job([{"prompt": prompt} for prompt in ("a cat", "a dog", "a fox", "a cow")])
    run(job)
    names = sorted(commits(tmp_path / "out"))
    files = [next((tmp_path / "out/_pabcast/commits").rglob(f"{name}.json")) for name in names]
    videos = [next((tmp_path / "out/videos").rglob(f"{name}-*.mp4")) for name in names]
    videos[0].write_bytes(b"")
    videos[1].write_bytes(videos[1].read_bytes()[:-1])
    files[2].write_text(json.dumps(json.loads(files[2].read_text()) | {"seed": "abc"}))
    summary = run(job)
    assert (tally(summary), summary.rows, summary.missing, summary.exit_code) == ((4, 4, 0, 0), 1, 3, 3)
    assert set(summary.contract()["missing_names"]) == {
        str(path.relative_to(tmp_path / "out")) for path in (videos[0], videos[1], files[2])
    }
    files[2].unlink()
    files[2].mkdir()
    summary = run(job)
    assert (tally(summary), summary.missing, summary.exit_code) == ((4, 3, 0, 1), 2, 3)
    assert f"{names[2]}.json, where a commit marker belongs, is a folder" in summary.spell()
    files[2].rmdir()
    for file in files[:2]:
        file.unlink()
    summary = run(job)
    assert (tally(summary), summary.rows, summary.missing) == ((4, 1, 3, 0), 4, 0)


def test_an_output_that_is_emptied_while_the_job_runs_is_told(
    warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job([{"prompt": f"cat {number}"} for number in range(6)], sampling={"steps": 20}, flight=1)
    gone: list[str] = []

    def empty() -> None:
        while len(commits(tmp_path / "out")) < 2:
            time.sleep(0.01)
        for suffix in ("mp4", "json"):
            for file in (tmp_path / "out").rglob(f"*.{suffix}"):
                file.unlink()
                gone.extend([file.name] if suffix == "json" else [])

    thread = threading.Thread(target=empty, daemon=True)
    thread.start()
    summary = run(job)
    thread.join()
    assert 2 <= len(gone) < 6
    assert tally(summary) == (6, 0, 6, 0)
    assert (summary.rows, summary.missing, summary.exit_code) == (6 - len(gone), len(gone), 3)
    assert {name.rpartition("/")[2] for name in summary.missing_names} == set(gone)
    told = summary.contract()
    assert told["rows"] + told["missing"] == told["committed"]
    summary = run(job)
    assert (tally(summary), summary.rows, summary.missing) == ((6, 6 - len(gone), len(gone), 0), 6, 0)


def test_a_store_that_breaks_in_the_middle_stops_the_job(
    warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job([{"prompt": "a cat"}, {"prompt": "a dog"}])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/videos").write_text("a file where a folder is needed")
    with pytest.raises((StoreError, ClusterError), match=r"is a file.*; 0 videos are committed; run the same"):
        run(job)
    (tmp_path / "out/videos").unlink()
    assert tally(run(job)) == (2, 0, 2, 0)
