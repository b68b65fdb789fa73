"""What a page must say beside its figures: what they leave out, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from pipelines.report.dataset import Dataset
from pipelines.report.numbers import Numbers


@dataclass(frozen=True, kw_only=True)
class Remarks:
    """Sentences, by the part of the page that they belong to."""

    time: tuple[str, ...]
    attention: tuple[str, ...]
    data: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, numbers: Numbers) -> Self:
        """Of a dataset with at least one video."""
        return cls(
            time=tuple(_on_time(numbers)),
            attention=tuple(_on_attention(numbers)),
            data=tuple(_on_data(dataset)),
        )


def _on_time(numbers: Numbers) -> Iterator[str]:
    timeless = int((np.isnan(numbers.start) | (numbers.seconds <= 0)).sum())
    guessed = int((~numbers.is_timed).sum()) - timeless
    if timeless:
        yield f"Nobody recorded the time of {_videos(timeless)}."
    if guessed > 0:
        yield (
            f"No start was recorded of {_videos(guessed)}. It is told from the commit and the seconds before it, "
            "and may be off by a few seconds."
        )
    moved = int((numbers.counts["first_step"] > 0).sum())
    if moved:
        yield (
            f"{_videos(moved)} went on from a snapshot on another gang: seconds, worker time and bytes are of the last "
            "gang alone."
        )


def _on_attention(numbers: Numbers) -> Iterator[str]:
    unknown = int((numbers.counts["evaluations"] <= 0).sum())
    if unknown:
        be = "is left out: it was" if unknown == 1 else "are left out: they were"
        yield (
            f"{_videos(unknown)} {be} committed by an earlier version, which did not record the steps that compute "
            "attention, or the bytes."
        )


def _on_data(dataset: Dataset) -> Iterator[str]:
    if dataset.missing:
        yield (
            f"The metadata has no column {', '.join(dataset.missing)}: the version that made it did not keep them, "
            "and what needs them is left out."
        )


def _videos(count: int) -> str:
    return f"{count:,} {'video' if count == 1 else 'videos'}"
