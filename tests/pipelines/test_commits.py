"""Exactly one commit a sample, and failures that are kept until they are made good."""

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import StoreError
from pipelines.commits import (
    Commits,
    CommittedSample,
    FailureRecord,
    Uncommittable,
    commit_key,
    failure_key,
    row_failure_id,
    video_key,
)
from pipelines.store import LocalStore, Store
from tests.pipelines.racing import race_processes
from tests.pipelines.samples import VIDEO, request, sample


def failure(sample_id: str, **changes: str) -> FailureRecord:
    values = {"source": "prompts.txt:1", "reason": "the gang died", "kind": "GangError", "id": "row"}
    return FailureRecord(sample_id=sample_id, **(values | changes))


def test_a_commit_carries_all_that_the_metadata_says(store: Store) -> None:
    row = sample(3, id="my row", negative_prompt="blurry")
    assert row.file_name == f"videos/{row.sample_id[:2]}/{row.sample_id}-{row.sha256[:8]}.mp4"
    assert Commits(store).commit(row, VIDEO) == "committed"
    assert Commits(store).read(row.sample_id) == row
    assert store.get(row.file_name) == VIDEO
    marker = json.loads(store.get(f"_pabcast/commits/{row.sample_id[:2]}/{row.sample_id}.json"))
    assert marker["prompt"] == "a red circle number 3"
    assert marker["id"] == "my row"
    assert marker["duration_sec"] == 2.0


def test_committing_again_changes_nothing(store: Store) -> None:
    commits = Commits(store)
    assert not commits.is_committed(sample().sample_id)
    commits.commit(sample(), VIDEO)
    before = {item.key: item for item in store.list()}
    assert commits.commit(sample(video=b"other"), b"other") == "already"
    assert commits.is_committed(sample().sample_id)
    assert {item.key: item for item in store.list()} == before


def test_of_eight_racers_one_commits_and_its_video_is_there(store: Store) -> None:
    commits = Commits(store)
    for round_ in range(10):
        barrier = threading.Barrier(8)

        def race(racer: int, round_: int = round_, barrier: threading.Barrier = barrier) -> str:
            video = b"video of racer %d" % racer
            barrier.wait()
            return commits.commit(sample(round_, video=video), video)

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(race, range(8))) == ["already"] * 7 + ["committed"]
        committed = commits.read(sample(round_).sample_id)
        assert committed is not None
        assert store.exists(committed.file_name)
    assert len(list(store.list("_pabcast/commits/"))) == len(list(store.list("videos/"))) == 10


RACER = """
import sys, time
from pipelines.commits import Commits
from pipelines.store import LocalStore
from tests.pipelines.racing import race_processes
from tests.pipelines.samples import sample
commits, racer = Commits(LocalStore(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
start, wins = float(input()), 0
for round_ in range(10):
    video = racer.encode()
    row = sample(round_, video=video)
    while time.time() < start + round_ * 0.05:
        pass
    wins += commits.commit(row, video) == "committed"
print(wins)
"""


def test_of_four_racing_processes_one_commits_each_round(tmp_path: Path) -> None:
    assert sum(race_processes(RACER, tmp_path, 4)) == 10
    commits = Commits(LocalStore(tmp_path))
    for round_ in range(10):
        committed = commits.read(sample(round_).sample_id)
        assert committed is not None
        assert commits.store.exists(committed.file_name)
    assert len(list(commits.store.list("videos/"))) == 10


def test_a_writer_killed_between_video_and_marker_leaves_no_commit(tmp_path: Path) -> None:
    commits = Commits(LocalStore(tmp_path))
    row = sample()
    commits.store.put(row.file_name, VIDEO)
    assert not commits.is_committed(row.sample_id)
    assert commits.commit(row, VIDEO) == "committed"


def test_a_video_that_was_cleaned_away_before_its_marker_is_put_again(tmp_path: Path) -> None:
    class Cleaned(LocalStore):
        """A store in which another job takes the upload for an orphan."""

        def put_if_absent(self, key: str, data: bytes) -> bool:
            self.delete(sample().file_name)
            return super().put_if_absent(key, data)

    store = Cleaned(tmp_path)
    assert Commits(store).commit(sample(), VIDEO) == "committed"
    assert store.get(sample().file_name) == VIDEO


def test_a_name_that_is_not_of_this_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the name of this video"):
        Commits(LocalStore(tmp_path)).commit(sample(), b"another video")


def test_a_marker_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put(commit_key("abcd"), b"{")
    with pytest.raises(StoreError, match=r"abcd.json is no commit marker; delete it"):
        Commits(store).read("abcd")
    with pytest.raises(ValueError, match="not an object of JSON"):
        CommittedSample.from_json(b"[]")


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "abc"},
        {"seed": True},
        {"seed": 2**63},
        {"seconds": None},
        {"seconds": 10**400},
        {"prompt": 7},
        {"prompt": "half \ud800"},
        {"file_name": None},
        {"file_name": "../x"},
        {"sha256": "../x", "file_name": video_key(sample().sample_id, "../x")},
        {"sample_id": sample(1).sample_id, "file_name": sample(1).file_name},
        {"video_bytes": "all"},
    ],
)
def test_a_marker_of_wrong_values_is_told(tmp_path: Path, changes: dict[str, object]) -> None:
    store, row = LocalStore(tmp_path), sample()
    store.put(commit_key(row.sample_id), json.dumps(json.loads(row.to_json()) | changes).encode())
    with pytest.raises(StoreError, match="is no commit marker; delete it"):
        Commits(store).read(row.sample_id)


@pytest.mark.parametrize("marker", [b"[]", b"null", b"{}", b"", b"\xff", DEEP])
def test_a_marker_that_is_no_object_is_told(tmp_path: Path, marker: bytes) -> None:
    store = LocalStore(tmp_path)
    store.put(commit_key("abcd"), marker)
    with pytest.raises(StoreError, match="is no commit marker; delete it"):
        Commits(store).read("abcd")


@pytest.mark.parametrize("thing", ["folder", "link"])
def test_what_is_in_the_place_of_a_marker_is_told(tmp_path: Path, thing: str) -> None:
    store, row = LocalStore(tmp_path), sample()
    place = tmp_path / commit_key(row.sample_id)
    place.parent.mkdir(parents=True)
    if thing == "folder":
        place.mkdir()
    else:
        place.symlink_to("nothing")
    with pytest.raises(Uncommittable, match=r"\.json, where a commit marker belongs, is a folder or .*; remove it"):
        Commits(store).commit(row, VIDEO)
    assert list(store.list("videos/")) == []


def test_a_marker_of_an_earlier_version_has_no_size(tmp_path: Path) -> None:
    store, row = LocalStore(tmp_path), sample()
    content = json.loads(row.to_json())
    del content["video_bytes"]
    store.put(commit_key(row.sample_id), json.dumps(content).encode())
    assert Commits(store).read(row.sample_id) == replace(row, video_bytes=0)


def test_a_failure_is_recorded_and_cleared_by_the_commit(store: Store) -> None:
    commits, row = Commits(store), sample()
    assert commits.fail(failure(row.sample_id))
    record = json.loads(store.get(f"_pabcast/failures/{row.sample_id}.json"))
    assert set(record) == {"sample_id", "source", "id", "reason", "kind", "at"}
    assert record["reason"] == "the gang died"
    assert record["at"].endswith("+00:00")
    assert FailureRecord.from_json(json.dumps(record).encode()).kind == "GangError"
    commits.commit(row, VIDEO)
    assert list(store.list("_pabcast/failures/")) == []


def test_a_corrected_row_clears_the_failure_of_its_line(store: Store) -> None:
    commits = Commits(store)
    row = sample(4)
    commits.fail(failure(row_failure_id(row.source), source=row.source, reason="the prompt is empty"))
    commits.commit(row, VIDEO)
    assert list(store.list("_pabcast/failures/")) == []


def test_a_committed_sample_does_not_fail_any_more(store: Store) -> None:
    commits, row = Commits(store), sample()
    commits.commit(row, VIDEO)
    assert not commits.fail(failure(row.sample_id))
    assert list(store.list("_pabcast/failures/")) == []


def test_a_failure_of_ten_megabytes_is_cut(store: Store) -> None:
    Commits(store).fail(failure("ab", id="x" * 10_000_000, reason="y" * 10_000_000))
    assert len(store.get(failure_key("ab"))) < 10_000


def test_a_failure_that_cannot_be_recorded_is_logged_and_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("x")
    with caplog.at_level(logging.ERROR), pytest.raises(StoreError):
        Commits(LocalStore(tmp_path / "file")).fail(failure("ab"))
    assert "prompts.txt:1 failed (the gang died) and that could not be recorded" in caplog.text


def test_a_prompt_of_any_language_survives(store: Store) -> None:
    row = sample(prompt="червоне коло 赤い円 🔴 \u2028")
    Commits(store).commit(row, VIDEO)
    committed = Commits(store).read(request(prompt=row.prompt).sample_id)
    assert committed is not None
    assert committed.prompt == row.prompt
