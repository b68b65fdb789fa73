"""The dataset job over the session's Ray and one warm pool: real folders, a tiny model, every format of input."""

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.pool_client import PoolClient
from cluster.errors import ClusterError, ConfigError, StoreError
from pipelines.commits import Commits, FailureRecord, row_failure_id
from pipelines.store import LocalStore
from tests.pipelines.jobs import MakeJob, Rows, commits, run, tally


def test_a_job_makes_a_video_folder_and_a_rerun_starts_no_worker(
    warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path
) -> None:
    rows: Rows = [
        {"id": "one", "prompt": "a red circle"},
        {"id": "wide", "prompt": "a blue square", "width": 64, "height": 32},
        {"id": "many", "prompt": "a green triangle", "num_samples": 2, "seed": 5},
    ]
    gang = {"width": "auto", "table": [{"max_tokens": 256, "width": 1}, {"width": 2}]}
    summary = run(make_job(rows, gang=gang, pab="pab246"))
    assert tally(summary) == (4, 0, 4, 0)
    assert summary.gang_busy_fraction > 0
    table = pq.read_table(tmp_path / "out/metadata.parquet").to_pylist()
    assert {(row["id"], row["seed"], row["gang_width"]) for row in table} == {
        ("one", 0, 1),
        ("wide", 0, 2),
        ("many", 5, 1),
        ("many-2", 6, 1),
    }
    assert all((tmp_path / "out" / row["file_name"]).is_file() for row in table)
    assert "pab: spatial=2,temporal=4" in (tmp_path / "out/_pabcast/run.yaml").read_text()
    before = commits(tmp_path / "out")
    # A pool of another size is there under the same name: a job that asked for its workers would fail.
    again = run(make_job(rows, gang=gang, pab="pab246", cluster={"workers": 3}))
    assert tally(again) == (4, 4, 0, 0)
    assert commits(tmp_path / "out") == before


def test_bad_rows_are_recorded_and_the_rest_is_made(warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path) -> None:
    bad: dict[int, tuple[Any, str]] = {
        2: ({"prompt": ""}, "the prompt is empty"),
        3: ({"prompt": 7}, "prompt is 7; a text is wanted"),
        4: ({"prompt": "a", "height": 33}, "height 33 is not divisible by 8"),
        5: ({"prompt": "a", "num_frames": 0}, "num_frames is 0"),
        6: ({"prompt": "x" * 10_000_000}, "10,000,000 bytes"),
        7: ({"prompt": "a red circle"}, "an earlier row asks for the same prompt, seed 0 and settings"),
    }
    good: Rows = [{"prompt": "a red circle"}]
    job = make_job(good + [row for row, _ in bad.values()])
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write('{"prompt": "cut off\n')
    summary = run(job)
    assert tally(summary) == (8, 0, 1, 7)
    assert summary.exit_code == 3
    records = [json.loads(file.read_text()) for file in (tmp_path / "out/_pabcast/failures").glob("*.json")]
    reasons = {record["source"]: record["reason"] for record in records}
    assert len(reasons) == 7
    assert "JSON" in reasons["prompts.jsonl:8"]
    for line, (_, sentence) in bad.items():
        assert sentence in reasons[f"prompts.jsonl:{line}"]
    again = run(job)
    assert tally(again) == (8, 1, 0, 7)


def test_a_corrected_row_is_made_and_its_failure_forgotten(
    warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path
) -> None:
    assert run(make_job([{"prompt": "a", "steps": 0}])).failed == 1
    assert tally(run(make_job([{"prompt": "a", "steps": 1}]))) == (1, 0, 1, 0)
    assert not list((tmp_path / "out/_pabcast/failures").glob("*.json"))


def test_records_of_rows_that_were_corrected_or_removed_are_forgotten(
    warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path
) -> None:
    folder = tmp_path / "out/_pabcast/failures"
    good: Rows = [{"prompt": "a cat"}]
    assert run(make_job([*good, {"prompt": ""}, {"prompt": "a", "steps": 0}, {"prompt": 7}])).failed == 3
    other = FailureRecord(sample_id=row_failure_id("other.jsonl:2"), source="other.jsonl:2", reason="r", kind="BadRow")
    died = FailureRecord(sample_id="ab" * 16, source="prompts.jsonl:1", reason="its gang failed", kind="GangError")
    for record in (other, died):
        Commits(LocalStore(tmp_path / "out")).fail(record)
    # Line 2 is corrected, line 3 is as bad as it was, line 4 is gone.
    corrected: Rows = [*good, {"prompt": "a dog"}, {"prompt": "a", "steps": 0}]
    for _ in range(2):
        assert run(make_job(corrected)).failed == 1
        left = {json.loads(file.read_text())["source"] for file in folder.glob("*.json")}
        assert left == {"prompts.jsonl:3", "other.jsonl:2"}
    assert run(make_job(good)).failed == 0
    assert [json.loads(file.read_text())["source"] for file in folder.glob("*.json")] == ["other.jsonl:2"]


def test_a_model_that_is_called_otherwise_makes_the_same_videos(
    warm_pool: PoolClient, make_job: MakeJob, tiny_model: Path, tmp_path: Path
) -> None:
    rows: Rows = [{"prompt": "a cat"}]
    assert tally(run(make_job(rows))) == (1, 0, 1, 0)
    assert tally(run(make_job(rows, model=os.path.relpath(tiny_model)))) == (1, 1, 0, 0)
    assert tally(run(make_job(rows, model=str(shutil.copytree(tiny_model, tmp_path / "moved"))))) == (1, 1, 0, 0)


def test_a_repeated_line_of_text_asks_for_another_sample(
    warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("a cat\na dog\na cat\na cat\n")
    job = make_job(input={"path": str(tmp_path / "p.txt")}, sampling={"seed": 3})
    assert tally(run(job)) == (4, 0, 4, 0)
    rows = pq.read_table(tmp_path / "out/metadata.parquet", columns=["prompt", "seed"]).to_pylist()
    assert sorted((row["prompt"], row["seed"]) for row in rows) == [
        ("a cat", 3),
        ("a cat", 4),
        ("a cat", 5),
        ("a dog", 3),
    ]
    assert tally(run(job)) == (4, 4, 0, 0)


def test_a_repeated_line_with_the_last_seed_is_refused_and_a_broken_old_video_costs_no_job(
    warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("a cat\na cat\n")
    assert tally(run(make_job(input={"path": str(tmp_path / "p.txt")}, sampling={"seed": 2**63 - 1}))) == (2, 0, 1, 1)
    (video,) = (tmp_path / "out/videos").rglob("*.mp4")
    video.write_bytes(video.read_bytes()[:500])
    assert tally(run(make_job([{"prompt": "a dog"}]))) == (1, 0, 1, 0)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_tables_are_read_as_jsonl_is(warm_pool: PoolClient, make_job: MakeJob, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"prompts/p.{suffix}"
    path.parent.mkdir()
    rows: Rows = [{"prompt": "a cat, sitting", "seed": 4, "source_url": "x"}, {"prompt": "a dog", "seed": None}]
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    assert tally(run(make_job(input={"path": str(path.parent)}))) == (2, 0, 2, 0)
    found = pq.read_table(tmp_path / "out/metadata.parquet", columns=["prompt", "seed"]).to_pylist()
    assert sorted((row["prompt"], row["seed"]) for row in found) == [("a cat, sitting", 4), ("a dog", 0)]


def test_a_pool_that_cannot_be_had_ends_the_job_in_one_sentence(warm_pool: PoolClient, make_job: MakeJob) -> None:
    with pytest.raises(ClusterError, match=r"workers.*; 0 videos are committed; run the same command again to go on"):
        run(make_job([{"prompt": "a cat"}], cluster={"workers": 3}))


def test_what_cannot_work_is_told_before_anything_is_started(make_job: MakeJob, tmp_path: Path) -> None:
    good: Rows = [{"prompt": "a cat"}]
    with pytest.raises(ConfigError, match="does not exist"):
        run(make_job(good, input={"path": str(tmp_path / "none")}))
    with pytest.raises(ConfigError, match="no column prompt"):
        run(make_job([{"caption": "a cat"}]))
    with pytest.raises(ConfigError, match="sampling: height 33 is not divisible by 8"):
        run(make_job(good, sampling={"height": 33}))
    with pytest.raises(ConfigError, match="legal widths are 1 to 16"):
        run(make_job(good, gang={"width": 17}, cluster={"workers": 17}))
    with pytest.raises(ConfigError, match=r"pab reuses the mlp of block 9; the model has blocks 0 to 1"):
        run(make_job(good, pab="mlp=9@500x2"))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StoreError):
        run(make_job(good))
