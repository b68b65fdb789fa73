"""The rows of a run that have no video, as its output records them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from pipelines.commits import FAILURES_FOLDER, FailureRecord
from pipelines.store import NotFound, Store

READ = 200
"""Records that are read; more are counted."""
_READERS = 16


@dataclass(frozen=True, kw_only=True)
class Failures:
    """How many there are, and the first of them."""

    count: int
    shown: tuple[FailureRecord, ...]
    unreadable: int
    """Files among the first that are no records."""

    @classmethod
    def read(cls, store: Store, most: int = READ) -> Self:
        """Those of the dataset in `store`, `most` of them in the order of their sources."""
        keys: list[str] = []
        count = 0
        for item in store.list(f"{FAILURES_FOLDER}/"):
            if item.key.endswith(".json"):
                count += 1
                if len(keys) < most:
                    keys.append(item.key)
        with ThreadPoolExecutor(_READERS, thread_name_prefix="failures") as pool:
            read = list(pool.map(lambda key: _read(store, key), keys))
        records = sorted((record for record in read if record), key=_by_source)
        return cls(count=count, shown=tuple(records), unreadable=len(keys) - len(records))

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """How many of those shown are of each kind of error, the most frequent first."""
        return Counter(record.kind for record in self.shown).most_common()


def _read(store: Store, key: str) -> FailureRecord | None:
    try:
        return FailureRecord.from_json(store.get(key))
    except (NotFound, ValueError):
        return None


def _by_source(record: FailureRecord) -> tuple[str, int, str]:
    """prompts.jsonl:9 comes before prompts.jsonl:10."""
    file, _, place = record.source.rpartition(":")
    number = "".join(letter for letter in place.partition("#")[0] if letter in "0123456789")
    return file, int(number[:18] or 0), record.source
