"""Whether the videos that the metadata names are in the store: one walk along both, without reading any."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from cluster.errors import StoreError
from pipelines.commits import COMMITS_FOLDER, VIDEOS_FOLDER
from pipelines.progress import Advance
from pipelines.report.dataset import Dataset
from pipelines.report.file_problem import check_name, spell_problem
from pipelines.report.short_text import MOST_OF_A_NAME, shortened
from pipelines.report.watcher import EVERY
from pipelines.store import Store

NAMED = 20
_ASKED = 200
"""Videos that are looked for again by name; the order of a listing or of the metadata may be another."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """What the store has of the videos."""

    lost: int
    """Videos of the metadata that are gone or not whole."""
    names: tuple[tuple[str, str], ...]
    """(file, what is wrong) of the first 20 of those."""
    unnamed: int
    """Videos in the store that the metadata does not name."""
    rowless: int
    """Commits more than there are rows: a run's end leaves those out whose video is gone or not whole."""

    @classmethod
    def of(cls, dataset: Dataset, advance: Advance | None = None) -> Self:
        """Look at all videos of a dataset, and count its commits; `advance` is told of both."""
        lost = matched = listed = 0
        names: list[tuple[str, str]] = []
        listing = ((item.key, item.size) for item in dataset.store.list(f"{VIDEOS_FOLDER}/"))
        here = next(listing, None)
        for place, (key, size) in enumerate(_named(dataset)):
            if advance and place % EVERY == 0:
                advance(place)
            while here is not None and here[0] < key:
                listed, here = listed + 1, next(listing, None)
            found = here[1] if here is not None and here[0] == key else None
            problem = _problem(found, size)
            if problem and lost < _ASKED:
                problem = _problem_now(dataset.store, key, size)
            if not problem:
                matched += 1
                continue
            lost += 1
            matched += found is not None
            if len(names) < NAMED:
                names.append((shortened(key, MOST_OF_A_NAME), problem))
        listed += (here is not None) + sum(1 for _ in listing)
        commits = 0
        for item in dataset.store.list(f"{COMMITS_FOLDER}/"):
            commits += item.key.endswith(".json")
            if advance and commits % EVERY == 0:
                advance(dataset.num_rows + commits)
        return cls(
            lost=lost,
            names=tuple(names),
            unnamed=max(0, listed - matched),
            rowless=max(0, commits - dataset.num_rows),
        )


def _named(dataset: Dataset) -> Iterator[tuple[str, int]]:
    for table in dataset.batches(["file_name", "video_bytes"]):
        yield from zip(table["file_name"].to_pylist(), table["video_bytes"].to_pylist(), strict=True)


def _problem(found: int | None, wanted: int) -> str:
    if found is None:
        return "is gone"
    if wanted and found != wanted:
        return f"has {found:,} bytes of {wanted:,}"
    return "" if found else "is empty"


def _problem_now(store: Store, key: str, wanted: int) -> str:
    try:
        now = store.stat(check_name(key))
    except (ValueError, StoreError, OSError) as error:
        return spell_problem(error)
    return _problem(None if now is None else now.size, wanted)
