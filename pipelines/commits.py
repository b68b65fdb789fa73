"""Commit markers, the truth about which samples exist, and the records of rows that failed."""

import hashlib
import json
import logging
import re
import sys
import uuid
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, get_type_hints

from cluster.errors import StoreError
from pipelines.making import Making
from pipelines.store import NotFound, Store

if TYPE_CHECKING:
    from actors.engine.request import VideoRequest

COMMITS_FOLDER = "_pabcast/commits"
FAILURES_FOLDER = "_pabcast/failures"
VIDEOS_FOLDER = "videos"
FORMAT = 1
LONGEST_TEXT = 2000
_DIGITS = re.compile(r"[0-9a-f]{8,}")
logger = logging.getLogger(__name__)


class Uncommittable(StoreError):
    """A sample's marker cannot be written, though others can: something else is in its place."""


@dataclass(frozen=True, kw_only=True)
class CommittedSample:
    """One row of the dataset's metadata, in the order of its columns."""

    file_name: str
    """``videos/ab/<sample_id>-<first 8 digits of sha256>.mp4``, relative to the dataset."""
    id: str
    """The row's own name, or the sample_id."""
    prompt: str
    negative_prompt: str
    seed: int
    model: str
    model_revision: str
    width: int
    height: int
    num_frames: int
    fps: int
    duration_sec: float
    steps: int
    guidance_scale: float
    pab: str
    sha256: str
    """Of the video file."""
    sample_id: str
    source: str
    """File and row or line of the prompt, as in ``prompts.jsonl:17``."""
    gang_width: int
    """How many ranks made it."""
    seconds: float
    """From the request to the decoded frames."""
    created_at: str
    """UTC, ISO 8601."""
    video_bytes: int = 0
    """Size of the video file; 0 if the marker is of a version that did not keep it."""
    started_at: str = ""
    """From here on, how it was made: as in `Making`."""
    evaluations: int = 0
    first_step: int = 0
    spatial_computed: int = 0
    temporal_computed: int = 0
    cross_computed: int = 0
    mlp_computed: int = 0
    bytes_sent: int = 0
    bytes_saved: int = 0

    @classmethod
    def of(
        cls,
        request: "VideoRequest",
        video: bytes,
        *,
        source: str,
        gang_width: int,
        seconds: float,
        making: Making | None = None,
    ) -> Self:
        """The row of a `video` (the bytes of its file) that was made for `request`."""
        digest = hashlib.sha256(video).hexdigest()
        return cls(
            file_name=video_key(request.sample_id, digest),
            id=request.sample_id if request.id is None else request.id,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            model=request.model,
            model_revision=request.model_revision,
            width=request.width,
            height=request.height,
            num_frames=request.num_frames,
            fps=request.fps,
            duration_sec=request.num_frames / request.fps,
            steps=request.steps,
            guidance_scale=request.guidance_scale,
            pab=request.pab.text(),
            sha256=digest,
            sample_id=request.sample_id,
            source=source,
            gang_width=gang_width,
            seconds=seconds,
            created_at=_now(),
            video_bytes=len(video),
            **asdict(making or Making()),
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a marker; `ValueError` if it is none. Keys of later versions are ignored."""
        content = _read_object(data)
        kinds, values = get_type_hints(cls), {}
        for field in fields(cls):
            if field.name in content or field.default is MISSING:
                values[field.name] = _checked(content.get(field.name), kinds[field.name], field.name)
        marker = cls(**values)
        if not _DIGITS.fullmatch(marker.sample_id) or not _DIGITS.fullmatch(marker.sha256):
            raise ValueError("not a commit marker: its sample_id or sha256 is not in hexadecimal digits")
        if marker.file_name != video_key(marker.sample_id, marker.sha256):
            raise ValueError("not a commit marker: its file_name is not its video's")
        return marker

    def to_json(self) -> bytes:
        """The marker, with a nonce of its writer: a writer whose answer was lost knows its own marker by it."""
        return _json({"format": FORMAT, "writer": uuid.uuid4().hex, **asdict(self)})


@dataclass(frozen=True, kw_only=True)
class FailureRecord:
    """Why a row has no video."""

    sample_id: str
    """Of the request; of a row that never became one, `row_failure_id` of its source."""
    source: str
    reason: str
    """One sentence."""
    kind: str
    """The error's class, as in ``RequestError``."""
    id: str = ""
    at: str = ""
    """UTC, ISO 8601; filled in when it is written."""

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a record; `ValueError` if it is none."""
        content = _read_object(data)
        return cls(**{field.name: _checked(content.get(field.name), str, field.name) for field in fields(cls)})


class Commits:
    """The commits and failures of one output dataset; pickles and serves many threads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def is_committed(self, sample_id: str) -> bool:
        """Whether the sample exists: one small request."""
        return self.store.exists(commit_key(sample_id))

    def read(self, sample_id: str) -> CommittedSample | None:
        """The commit of a sample, or None; `StoreError` if its marker cannot be understood."""
        key = commit_key(sample_id)
        try:
            marker = CommittedSample.from_json(self.store.get(key))
            if marker.sample_id != sample_id:
                raise ValueError(f"a marker of {marker.sample_id}")
        except NotFound:
            return None
        except ValueError as error:
            raise StoreError(
                f"{self.store.uri}/{key} is no commit marker; delete it to make the video again"
            ) from error
        return marker

    def commit(self, sample: CommittedSample, video: bytes) -> Literal["committed", "already"]:
        """Upload the video, then its marker; "already" if another writer's marker was first.

        However many writers race and wherever one dies, there is one marker and the video it names exists.
        Raises `Uncommittable` if a folder or a link to nothing is where the marker belongs.
        """
        if sample.file_name != video_key(sample.sample_id, hashlib.sha256(video).hexdigest()):
            raise ValueError(f"{sample.file_name} is not the name of this video of {len(video)} bytes")
        if self.is_committed(sample.sample_id):
            self._clear_failures(sample)
            return "already"
        self.store.put(sample.file_name, video, "video/mp4")
        won = self.store.put_if_absent(commit_key(sample.sample_id), sample.to_json())
        if won:
            # Until the marker was there, another job's compaction could take a very old upload for an orphan.
            if not self.store.exists(sample.file_name):
                self.store.put(sample.file_name, video, "video/mp4")
        else:
            first = self.read(sample.sample_id)
            if first is None or first.file_name != sample.file_name:
                self.store.delete(sample.file_name)
            if first is None:
                key = commit_key(sample.sample_id)
                raise Uncommittable(
                    f"{self.store.uri}/{key}, where a commit marker belongs, is a folder or a link to nothing; "
                    "remove it and run again"
                )
        self._clear_failures(sample)
        return "committed" if won else "already"

    def fail(self, record: FailureRecord) -> bool:
        """Record why a row has no video; False if its sample has been committed meanwhile.

        A record that cannot be written is logged with its reason before the `StoreError` goes on.
        """
        texts = {name: text[:LONGEST_TEXT] for name, text in asdict(record).items()}
        texts["at"] = texts["at"] or _now()
        try:
            if self.is_committed(record.sample_id):
                return False
            self.store.put(failure_key(record.sample_id), _json(texts), "application/json")
        except StoreError as error:
            logger.error("%s failed (%s) and that could not be recorded: %s", record.source, texts["reason"], error)
            raise
        return True

    def clear_failure(self, sample_id: str) -> None:
        """Forget a failure; one that is not there is no error."""
        self.store.delete(failure_key(sample_id))

    def _clear_failures(self, sample: CommittedSample) -> None:
        """Of the sample, and of its row from before somebody corrected it."""
        self.clear_failure(sample.sample_id)
        self.clear_failure(row_failure_id(sample.source))


def commit_key(sample_id: str) -> str:
    """Where a sample's marker is."""
    return f"{COMMITS_FOLDER}/{sample_id[:2]}/{sample_id}.json"


def failure_key(sample_id: str) -> str:
    """Where a failure is recorded."""
    return f"{FAILURES_FOLDER}/{sample_id}.json"


def video_key(sample_id: str, sha256: str) -> str:
    """Where a sample's video is."""
    return f"{VIDEOS_FOLDER}/{sample_id[:2]}/{sample_id}-{sha256[:8]}.mp4"


def row_failure_id(source: str) -> str:
    """What a row that never became a request is called by in the failures; the same at every run."""
    return "row-" + hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:28]


def _read_object(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if not isinstance(content, dict):
        raise ValueError("not an object of JSON")
    return content


def _checked(value: object, kind: type, name: str) -> Any:
    """`value` if it is of `kind` and a column of the metadata can hold it; else `ValueError`."""
    if kind is str and isinstance(value, str):
        value.encode()
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind is int and isinstance(value, int) and abs(value) < 2**63:
            return value
        if kind is float and abs(value) <= sys.float_info.max:
            return float(value)
    raise ValueError(f"{name} is no {kind.__name__}")


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=True, indent=1).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
