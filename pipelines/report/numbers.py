"""What the figures are made of: the numeric columns of all rows, about 120 bytes a row."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.report.dataset import Dataset

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

KINDS = ("spatial", "temporal", "cross", "mlp")
_COUNTS = (
    *("width", "height", "num_frames", "steps", "gang_width", "evaluations", "first_step"),
    *(f"{kind}_computed" for kind in KINDS),
    *("bytes_sent", "bytes_saved", "video_bytes"),
)
_COLUMNS = (*_COUNTS, "duration_sec", "seconds", "created_at", "started_at", "pab")
_LEAST_S, _YEAR_S = 1e-3, 366 * 86400.0
_YEARS = range(1678, 2262)
"""Whose moments fit 64 bits in nanoseconds."""
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?\+00:00$"


@dataclass(frozen=True)
class Numbers:
    """Arrays with an entry a video, in the order of the metadata."""

    counts: dict[str, Ints]
    """The columns of whole numbers, by name."""
    duration_s: Floats
    """Of the video when it is played."""
    seconds: Floats
    """Of its making."""
    start: Floats
    """When its making began, in seconds since 1970; NaN where nobody knows."""
    is_timed: Flags
    """Whether its beginning was recorded; else it is told from its commit, and within some seconds."""
    pabs: tuple[str, ...]
    """The settings of PAB that occur."""
    pab: Ints
    """Which of `pabs` a video has."""

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Of all rows of a dataset."""
        table = dataset.columns(_COLUMNS)
        seconds = _times_taken(table["seconds"])
        started, committed = _times(table["started_at"]), _times(table["created_at"])
        encoded: Any = pc.dictionary_encode(table["pab"].combine_chunks())
        return cls(
            counts={name: np.clip(table[name].to_numpy(), 0, _most(name)) for name in _COUNTS},
            duration_s=_times_taken(table["duration_sec"]),
            seconds=seconds,
            start=np.where(np.isnan(started), committed - seconds, started),
            is_timed=~np.isnan(started),
            pabs=tuple(encoded.dictionary.to_pylist()),
            pab=encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.seconds)


def _most(name: str) -> int:
    """What a count is cut to, so that sums do not overflow: the metadata may have been written by anybody."""
    return 1 << (48 if "bytes" in name else 24)


def _times_taken(column: Any) -> Floats:
    """Seconds; 0, as for unknown, where they are no number, less than a millisecond or more than a year."""
    seconds = np.asarray(column.to_numpy(), np.float64)
    return np.where((seconds >= _LEAST_S) & (seconds <= _YEAR_S), seconds, 0.0)


def _times(column: Any) -> Floats:
    """Seconds since 1970 of texts in ISO 8601, UTC; NaN for every other text."""
    plain = pc.if_else(pc.match_substring_regex(column, _TIME), column, pa.scalar(None, pa.string()))
    try:
        moments = plain.cast(pa.timestamp("ns", tz="UTC"))
    except pa.ArrowInvalid:  # a 31st of February, in a marker that somebody wrote by hand
        return np.array([_moment(text) for text in plain.to_pylist()], np.float64)
    return np.asarray(moments.cast(pa.int64()).to_numpy(zero_copy_only=False), np.float64) / 1e9


def _moment(text: str | None) -> float:
    """As `_times`, of one text that looks like a time."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return math.nan
    return moment.timestamp() if moment.year in _YEARS else math.nan
