"""metadata.parquet, compacted from the commits; afterwards the output is a Hugging Face VideoFolder."""

import logging
import re
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import StoreError
from pipelines.commits import COMMITS_FOLDER, FAILURES_FOLDER, VIDEOS_FOLDER, Commits, CommittedSample, commit_key
from pipelines.store import Store, StoredObject

METADATA_KEY = "metadata.parquet"
ROWS_A_GROUP = 1024
READERS = 16
NAMES_KEPT = 20
ORPHAN_GRACE_S = 3600.0
_TYPES: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
SCHEMA = pa.schema([pa.field(name, _TYPES[kind]) for name, kind in get_type_hints(CommittedSample).items()])
_VIDEO = re.compile(rf"^{VIDEOS_FOLDER}/(?P<place>[0-9a-f]{{2}}/(?P<sample>[0-9a-f]+))-[0-9a-f]{{8}}\.mp4$")
_SAMPLE = re.compile(r"^[0-9a-f]+$")
logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class CompactResult:
    """What a compaction found."""

    rows: int
    """Rows of metadata.parquet."""
    removed: int
    """Videos removed because no commit names them."""
    missing: int
    """Commits left out because their video is gone or not whole, or their marker cannot be read."""
    missing_names: tuple[str, ...] = ()
    """Keys of the first 20 of those: of the video, or of the marker if that is what is damaged."""


def compact(
    store: Store,
    workdir: Path | None = None,
    *,
    started_at: float | None = None,
    orphan_grace_s: float = ORPHAN_GRACE_S,
) -> CompactResult:
    """Write ``metadata.parquet`` from all commits, in the order of their sample_ids, in bounded memory.

    A video that no commit names is removed if its sample is committed under another name, or if it was written
    `orphan_grace_s` before `started_at` (seconds since 1970, default now): a younger one may be about to be
    committed by another job. Records of failures whose sample is committed go too. Temporary files are made in
    `workdir` (default: the system's folder for them).
    """
    oldest = (time.time() if started_at is None else started_at) - orphan_grace_s
    with (
        tempfile.TemporaryDirectory(dir=workdir, prefix="pabcast-") as folder,
        ThreadPoolExecutor(READERS, thread_name_prefix="compact") as pool,
    ):
        path = Path(folder) / METADATA_KEY
        compaction = _Compaction(store, pool, oldest)
        with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            for rows in _chunks(compaction.samples(), ROWS_A_GROUP):
                writer.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA))
        store.put_file(METADATA_KEY, path)
        _forget_settled_failures(Commits(store), pool)
        store.sweep(oldest)
    return compaction.result()


class _Compaction:
    """One walk along the commits and the videos side by side; both are listed in the order of their sample_ids."""

    def __init__(self, store: Store, pool: Executor, oldest: float) -> None:
        self._store = store
        self._commits = Commits(store)
        self._pool = pool
        self._oldest = oldest
        self._rows = 0
        self._removed = 0
        self._missing = 0
        self._names: list[str] = []

    def samples(self) -> Iterator[CommittedSample]:
        """The commits whose video is there in its full size; nothing of it is downloaded."""
        videos = _Ahead(self._videos())
        listing = (item.key for item in self._store.list(f"{COMMITS_FOLDER}/") if item.key.endswith(".json"))
        for key, sample in _read_ahead(self._pool, self._read, listing):
            place = key.removeprefix(f"{COMMITS_FOLDER}/").removesuffix(".json")
            found: StoredObject | None = None
            while videos.first is not None and videos.first[0] <= place:
                if sample is not None and videos.first[1].key == sample.file_name:
                    found = videos.first[1]
                else:
                    self._settle(videos.first[1])
                videos.step()
            if sample is None:
                self._leave_out(key, "is no commit marker")
            elif _video_problem(found, sample) and (problem := self._problem_now(sample)):
                self._leave_out(sample.file_name, problem)
            else:
                self._rows += 1
                yield sample
        while videos.first is not None:
            self._settle(videos.first[1])
            videos.step()

    def result(self) -> CompactResult:
        """The counts."""
        return CompactResult(
            rows=self._rows, removed=self._removed, missing=self._missing, missing_names=tuple(self._names)
        )

    def _videos(self) -> Iterator[tuple[str, StoredObject]]:
        for item in self._store.list(f"{VIDEOS_FOLDER}/"):
            match = _VIDEO.match(item.key)
            if match:
                yield match["place"], item

    def _read(self, key: str) -> tuple[str, CommittedSample | None]:
        sample_id = key.rpartition("/")[2].removesuffix(".json")
        if key != commit_key(sample_id):
            return key, None
        try:
            return key, self._commits.read(sample_id)
        except StoreError as error:
            if not isinstance(error.__cause__, ValueError):
                raise
            return key, None

    def _problem_now(self, sample: CommittedSample) -> str:
        """Asked anew, for the listing is of the past."""
        return _video_problem(self._store.stat(sample.file_name), sample)

    def _leave_out(self, name: str, problem: str) -> None:
        self._missing += 1
        if len(self._names) < NAMES_KEPT:
            self._names.append(name)
            logger.warning("%s/%s %s; its row is left out", self._store.uri, name, problem)

    def _settle(self, video: StoredObject) -> None:
        """Remove a video that no listed commit named. The commit is read anew: the listings are of the past."""
        match = _VIDEO.match(video.key)
        if match is None:
            return
        try:
            sample = self._commits.read(match["sample"])
        except StoreError as error:
            logger.warning("%s is kept: %s", video.key, error)
            return
        if sample is None and video.modified >= self._oldest:
            return
        if sample is None or sample.file_name != video.key:
            self._store.delete(video.key)
            self._removed += 1


class _Ahead:
    """An iterator whose next item can be looked at."""

    def __init__(self, items: Iterator[tuple[str, StoredObject]]) -> None:
        self._items = items
        self.first = next(items, None)

    def step(self) -> None:
        """Go on to the next item."""
        self.first = next(self._items, None)


def _video_problem(video: StoredObject | None, sample: CommittedSample) -> str:
    """Why the stored `video` cannot be the committed one, or nothing."""
    if video is None:
        return "is gone"
    if sample.video_bytes and video.size != sample.video_bytes:
        return f"has {video.size:,} bytes of {sample.video_bytes:,}"
    return "" if video.size else "is empty"


def _forget_settled_failures(commits: Commits, pool: Executor) -> None:
    """Of samples that another job committed while this one recorded their failure."""

    def forget(key: str) -> None:
        sample_id = key.rpartition("/")[2].removesuffix(".json")
        if _SAMPLE.match(sample_id) and commits.is_committed(sample_id):
            commits.clear_failure(sample_id)

    for _ in _read_ahead(pool, forget, (item.key for item in commits.store.list(f"{FAILURES_FOLDER}/"))):
        pass


def _read_ahead(pool: Executor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map` in the order of `items`, with at most four calls a thread ahead of the reader."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= 4 * READERS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
