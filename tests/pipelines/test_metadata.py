"""metadata.parquet says what the commits say, and the output is a VideoFolder."""

import json
import os
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import metadata
from pipelines.commits import Commits, FailureRecord, commit_key, failure_key, video_key
from pipelines.metadata import SCHEMA, compact
from pipelines.store import LocalStore, Store
from pipelines.video import encode_mp4
from tests.pipelines.samples import VIDEO, sample

EXPECTED_FIRST = ["file_name", "id", "prompt", "negative_prompt", "seed", "model", "model_revision", "width", "height"]


def rows_of(store: Store) -> list[dict[str, object]]:
    with store.open("metadata.parquet") as file:
        rows: list[dict[str, object]] = pq.read_table(file).to_pylist()
        return rows


def commit_many(store: Store, count: int) -> None:
    commits = Commits(store)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda number: commits.commit(sample(number), VIDEO), range(count))) == {"committed"}


def test_every_commit_is_a_row_in_the_order_of_sample_ids(store: Store) -> None:
    commit_many(store, 30)
    result = compact(store)
    assert (result.rows, result.removed, result.missing) == (30, 0, 0)
    rows = rows_of(store)
    ids = [str(row["sample_id"]) for row in rows]
    assert ids == sorted(ids)
    assert {row["prompt"] for row in rows} == {f"a red circle number {number}" for number in range(30)}
    assert SCHEMA.names[:9] == EXPECTED_FIRST


def test_compacting_twice_gives_the_same_bytes(store: Store) -> None:
    commit_many(store, 5)
    compact(store)
    first = store.get("metadata.parquet")
    compact(store)
    assert store.get("metadata.parquet") == first


def test_an_empty_dataset_has_an_empty_metadata(store: Store) -> None:
    assert compact(store).rows == 0
    assert rows_of(store) == []


def test_datasets_lists_every_video_with_its_prompt(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    store = LocalStore(tmp_path / "out")
    commits = Commits(store)
    rng = np.random.default_rng(0)
    for number in range(4):
        video = encode_mp4(rng.integers(0, 255, (4, 64, 96, 3), dtype=np.uint8), 8)
        commits.commit(sample(number, video=video), video)
    commits.fail(FailureRecord(sample_id="ab", source="x:1", reason="r", kind="k"))
    store.put("_pabcast/run.yaml", b"model: demo\n")
    compact(store)
    loaded = datasets.load_dataset("videofolder", data_dir=store.uri, split="train", cache_dir=str(tmp_path / "cache"))
    loaded = loaded.cast_column("video", datasets.Video(decode=False))
    assert sorted(loaded["prompt"]) == [f"a red circle number {number}" for number in range(4)]
    for row in loaded:
        assert Path(row["video"]["path"]).read_bytes()[4:8] == b"ftyp"
        assert row["sample_id"] in row["video"]["path"]


def orphan(store: LocalStore, number: int, digest: str, age_s: float) -> str:
    key = video_key(sample(number).sample_id, digest)
    store.put(key, b"orphan")
    then = time.time() - age_s
    os.utime(store.root / key, (then, then))
    return key


def test_a_video_whose_sample_is_committed_under_another_name_is_removed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit_many(store, 10)
    before = orphan(store, 3, "0" * 8, age_s=0)
    after = orphan(store, 4, "f" * 8, age_s=0)
    assert compact(store).removed == 2
    assert not store.exists(before)
    assert not store.exists(after)
    assert len(list(store.list("videos/"))) == 10


def test_an_old_video_without_a_commit_is_removed_and_a_young_one_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit_many(store, 3)
    old = [orphan(store, number, "1" * 8, age_s=7200) for number in range(10, 16)]
    young = orphan(store, 20, "1" * 8, age_s=0)
    result = compact(store)
    assert (result.rows, result.removed) == (3, len(old))
    assert store.exists(young)
    assert len(list(store.list("videos/"))) == 4


def test_files_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit_many(store, 1)
    for key in ("videos/notes.txt", "videos/ab/mine.mp4", "README.md"):
        store.put(key, b"x")
        os.utime(tmp_path / key, (0, 0))
    assert compact(store).removed == 0
    assert store.exists("videos/ab/mine.mp4")


def test_a_commit_without_its_video_is_left_out_and_named(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit_many(store, 5)
    gone = sample(2).file_name
    store.delete(gone)
    store.put(commit_key("ee" * 16), b"not json")
    result = compact(store)
    assert (result.rows, result.missing) == (4, 2)
    assert set(result.missing_names) == {gone, commit_key("ee" * 16)}


def test_a_video_that_is_not_whole_is_left_out_and_named(store: Store) -> None:
    commit_many(store, 4)
    store.put(sample(1).file_name, b"")
    store.put(sample(2).file_name, VIDEO[:-1])
    result = compact(store)
    assert (result.rows, result.removed, result.missing) == (2, 0, 2)
    assert set(result.missing_names) == {sample(1).file_name, sample(2).file_name}


def test_a_video_whose_size_was_not_kept_is_whole_unless_it_is_empty(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for number, video in enumerate([b"", VIDEO]):
        row = replace(sample(number), video_bytes=0)
        store.put(row.file_name, video)
        store.put(commit_key(row.sample_id), row.to_json())
    result = compact(store)
    assert (result.rows, result.missing_names) == (1, (sample(0).file_name,))


def test_markers_that_make_no_sense_cost_no_other_row(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit_many(store, 3)
    content = json.loads(sample(0).to_json())
    damaged = {
        commit_key(sample(0).sample_id): json.dumps(content | {"seed": "abc"}).encode(),
        commit_key(sample(1).sample_id): json.dumps(content | {"file_name": "../x"}).encode(),
        commit_key("ee" * 16): b"[" * 100_000,
        f"_pabcast/commits/zz/{sample(2).sample_id}.json": sample(2).to_json(),
        "_pabcast/commits/.json": b"{}",
    }
    for key, marker in damaged.items():
        store.put(key, marker)
    result = compact(store)
    assert (result.rows, result.removed) == (1, 0)
    assert set(result.missing_names) == set(damaged)
    assert [row["sample_id"] for row in rows_of(store)] == [sample(2).sample_id]


def test_failures_of_committed_samples_are_forgotten(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commits = Commits(store)
    commits.fail(FailureRecord(sample_id=sample(0).sample_id, source="x:1", reason="r", kind="k"))
    commits.fail(FailureRecord(sample_id=sample(9).sample_id, source="x:9", reason="r", kind="k"))
    record = store.get(failure_key(sample(0).sample_id))
    foreign = [f"_pabcast/failures/{name}.json" for name in ("", ".", "..", "notes")]
    for key in foreign:
        store.put(key, b"mine")
    commit_many(store, 1)
    store.put(failure_key(sample(0).sample_id), record)
    compact(store)
    left = {item.key for item in store.list("_pabcast/failures/")}
    assert left == {failure_key(sample(9).sample_id), *foreign}


@pytest.mark.parametrize("store", ["local", pytest.param("real", marks=pytest.mark.s3)], indirect=True)
def test_946_commits_take_seconds(store: Store) -> None:
    commits = Commits(store)
    rows = [sample(number) for number in range(946)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: store.put(row.file_name, VIDEO), rows))
        list(pool.map(lambda row: store.put(commit_key(row.sample_id), row.to_json()), rows))
    assert commits.is_committed(rows[0].sample_id)
    start = time.monotonic()
    assert compact(store).rows == 946
    assert time.monotonic() - start < 20


def test_memory_does_not_grow_with_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "ROWS_A_GROUP", 256)

    def peak(count: int) -> int:
        store = LocalStore(tmp_path / str(count))
        for number in range(count):
            row = sample(number, prompt=f"{number} " + "x" * 2000)
            for key, data in ((commit_key(row.sample_id), row.to_json()), (row.file_name, VIDEO)):
                path = store.root / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        tracemalloc.start()
        assert compact(store).rows == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    small = peak(600)  # two full row groups and a little
    assert peak(2400) < 1.3 * small
