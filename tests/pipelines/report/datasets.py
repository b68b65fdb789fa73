"""Datasets of small videos for tests, without a model; and one of many rows and no videos."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.commits import Commits, CommittedSample, FailureRecord
from pipelines.making import Making
from pipelines.metadata import METADATA_KEY, SCHEMA, compact
from pipelines.page_file import PageFile
from pipelines.report import Report, make_report
from pipelines.store import Store
from pipelines.video import encode_mp4
from tests.pipelines.samples import request

BEGAN = datetime(2026, 5, 4, 9, 0, tzinfo=UTC).timestamp()
ROW = {"width": 64, "height": 64, "gang_width": 1, "seconds": 5.0, "start": 0.0}


def making(start_s: float, **changes: Any) -> Making:
    """Of a video of 30 steps under PAB246 that began `start_s` after the first one."""
    started_at = datetime.fromtimestamp(BEGAN + start_s, UTC).isoformat(timespec="milliseconds")
    values = {"evaluations": 30, "spatial_computed": 20, "temporal_computed": 14, "cross_computed": 13}
    return Making(started_at=started_at, **(values | {"mlp_computed": 30} | changes))


def clip(shade: int, width: int = 64, height: int = 64) -> bytes:
    """A video of two seconds that becomes brighter."""
    frames = np.zeros((16, height, width, 3), np.uint8)
    frames += np.linspace(0, 100, 16, dtype=np.uint8)[:, None, None, None]
    frames[..., 0] += shade % 150
    return encode_mp4(frames, 8)


def committed(number: int, video: bytes, **changes: Any) -> CommittedSample:
    """A sample as a run commits it; `start` is in seconds, what `ROW` has not goes into its request."""
    row = {name: changes.pop(name, value) for name, value in ROW.items()}
    how = changes.pop("making", None) or making(row["start"])
    wanted = request(number, width=row["width"], height=row["height"], steps=30, **changes)
    return CommittedSample.of(
        wanted, video, source=f"p.jsonl:{number + 1}", gang_width=row["gang_width"], seconds=row["seconds"], making=how
    )


def fill(store: Store, *rows: dict[str, Any], failures: int = 0) -> list[CommittedSample]:
    """Commit a video for each of `rows`, record failures, and write the metadata, as a run does."""
    commits, samples = Commits(store), []
    for number, row in enumerate(rows):
        video = clip(20 * number, row.get("width", 64), row.get("height", 64))
        samples.append(committed(number, video, **row))
        commits.commit(samples[-1], video)
    for number in range(failures):
        reason = f"height {65 + number} is not divisible by 8"
        commits.fail(
            FailureRecord(
                sample_id=f"row-{number:028x}", source=f"p.jsonl:{100 + number}", reason=reason, kind="RequestError"
            )
        )
    store.put("_pabcast/run.yaml", b"# model_revision: abc\n# versions:\n#   torch: 2.13.0+cpu\nmodel: demo\n")
    compact(store)
    return samples


def many_rows(folder: Path, count: int) -> None:
    """A metadata.parquet of `count` rows, by gangs of 1, 2, 4 and 8, whose videos are nowhere."""
    random = np.random.default_rng(0)
    digits = np.char.mod("%032x", np.arange(count))
    gang = random.choice([1, 2, 4, 8], count)
    start = BEGAN + np.arange(count) * 0.7
    times = pa.array((start * 1e3).astype(np.int64)).cast(pa.timestamp("ms", tz="UTC"))
    texts = [f"{moment.as_py().isoformat(timespec='milliseconds')}" for moment in times]
    columns: dict[str, Any] = {
        "file_name": [f"videos/{name[:2]}/{name}-00000000.mp4" for name in digits],
        "width": 64 * gang,
        "height": 64 * gang,
        "num_frames": np.full(count, 16),
        "steps": np.full(count, 30),
        "gang_width": gang,
        "seconds": random.lognormal(2, 0.3, count),
        "duration_sec": np.full(count, 2.0),
        "prompt": ["a red circle moving left over a black background"] * count,
        "pab": random.choice(["off", "spatial=2,temporal=4,cross=6"], count),
        "started_at": texts,
        "created_at": texts,
        "evaluations": np.full(count, 30),
        "temporal_computed": np.full(count, 14),
        "bytes_sent": 1000 * gang,
        "bytes_saved": 3000 * gang,
        "video_bytes": np.full(count, 50_000),
    }
    blanks: dict[pa.DataType, Any] = {pa.string(): "", pa.int64(): 0, pa.float64(): 0.0}
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.repeat(pa.scalar(blanks[field.type], field.type), count)
        for field in SCHEMA
    ]
    folder.mkdir(parents=True)
    pq.write_table(pa.table(arrays, schema=SCHEMA), folder / METADATA_KEY, row_group_size=1024)


def page_of(store: Store, out: Path, *, videos: int = 24, budget_bytes: int = 40_000_000) -> tuple[Report, str]:
    """The report of a dataset, and the text of its page."""
    made = make_report(store.uri, PageFile.of(str(out)), videos=videos, budget_bytes=budget_bytes)
    return made, out.read_text()
