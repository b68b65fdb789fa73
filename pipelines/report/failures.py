"""The rows of a run that have no video, as its output records them."""

import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

from cluster.errors import StoreError
from pipelines.commits import FAILURES_FOLDER, FailureRecord
from pipelines.progress import Advance
from pipelines.report.file_problem import file_problem
from pipelines.report.masks import masked_text
from pipelines.report.watcher import EVERY
from pipelines.store import NotFound, Outside, Store

READ = 200
"""Records that are read; more are counted."""
LONGEST_BYTES = 100_000
"""Of a record; the reason of one that a run wrote has 2000 characters."""
MEANINGS: Mapping[str, str] = {
    "BadRow": "the row cannot be understood",
    "RequestError": "it cannot be made as asked",
    "OutOfMemory": "it does not fit the memory",
    "NotFinite": "its numbers became NaN or infinite",
    "GangError": "its workers died, hung or failed, again and again",
    "Uncommittable": "something else is where its commit belongs",
    "StoreError": "it could not be stored",
    "StoreFull": "no space was left for it",
    "ClusterError": "the cluster had no workers for it",
    "Cancelled": "somebody stopped it",
}
"""What the class of an error says of a row, for people."""
_READERS = 16
_PLACE = re.compile(r"[0-9]+(#[0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class Failures:
    """How many there are, and the first of them."""

    count: int
    shown: tuple[FailureRecord, ...]
    unreadable: int
    """Files among the first that are no records."""

    @classmethod
    def read(cls, store: Store, most: int = READ, advance: Advance | None = None) -> Self:
        """Those of the dataset in `store`, `most` of them in the order of their sources."""
        keys: list[str] = []
        count = 0
        for item in store.list(f"{FAILURES_FOLDER}/"):
            if item.key.endswith(".json"):
                count += 1
                if advance and count % EVERY == 0:
                    advance(count)
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
        with store.open(key) as file:
            return _masked(FailureRecord.from_json(file.read(LONGEST_BYTES)))
    except (NotFound, Outside, ValueError):
        return None
    except (StoreError, OSError) as error:
        file_problem(error)
        return None


def _masked(record: FailureRecord) -> FailureRecord:
    """Without secrets in its texts; the number at the end of a source is none, whatever its file is called."""
    file, colon, place = record.source.rpartition(":")
    if not _PLACE.fullmatch(place):
        file, colon, place = record.source, "", ""
    source = masked_text(file) + colon + place
    return replace(record, reason=masked_text(record.reason), id=masked_text(record.id), source=source)


def meaning_of(kind: str) -> str:
    """What a kind of error means; what is none of this version's stays as it is."""
    return MEANINGS.get(kind, kind)


def _by_source(record: FailureRecord) -> tuple[str, int, str]:
    """prompts.jsonl:9 comes before prompts.jsonl:10."""
    file, _, place = record.source.rpartition(":")
    number = "".join(letter for letter in place.partition("#")[0] if letter in "0123456789")
    return file, int(number[:18] or 0), record.source
