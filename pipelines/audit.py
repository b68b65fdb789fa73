"""What a run's ledger says, held against what the store holds at the run's end: commits and records of failures."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from pipelines.commits import COMMITS_FOLDER, FAILURES_FOLDER, FailureRecord, commit_key, row_failure_id
from pipelines.store import NotFound, Store

KEYS_A_CALL = 1000
READERS = 16
T = TypeVar("T")


class Witness(Protocol):
    """What the audit asks of a run's ledger, here or in another process."""

    def see_many(self, sample_ids: Sequence[str]) -> None:
        """Note that these samples have a commit."""
        ...

    def outdated_many(self, failures: Sequence[tuple[str, str]]) -> list[bool]:
        """Of each failure (source, sample_id): whether its file was read and it is none any more."""
        ...

    def unseen(self) -> tuple[int, list[str]]:
        """How many samples count as committed or skipped and were not noted, and the first 20."""
        ...


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """What an audit found."""

    lost: int = 0
    """Samples of the run, committed or found to be so, whose commit is not there any more."""
    lost_names: tuple[str, ...] = ()
    """The keys of the first 20 of those commits."""


def audit(store: Store, ledger: Witness, *, complete: bool) -> AuditResult:
    """Look for the commit of every sample that `ledger` counts as committed or skipped: one listing.

    If the run came to an outcome for all its rows (`complete`), the records of failures that these rows do not
    have any more are removed: of rows that were corrected, and of rows that the same files do not hold any more.
    """
    for keys in _chunks(item.key for item in store.list(f"{COMMITS_FOLDER}/")):
        ledger.see_many([_name(key) for key in keys])
    lost, first = ledger.unseen()
    if complete:
        _forget_outdated(store, ledger)
    return AuditResult(lost=lost, lost_names=tuple(commit_key(sample_id) for sample_id in first))


def _forget_outdated(store: Store, ledger: Witness) -> None:
    def read(key: str) -> FailureRecord | None:
        try:
            return FailureRecord.from_json(store.get(key))
        except (NotFound, ValueError):
            return None

    with ThreadPoolExecutor(READERS, thread_name_prefix="audit") as pool:
        for keys in _chunks(item.key for item in store.list(f"{FAILURES_FOLDER}/")):
            records = {key: record for key, record in zip(keys, pool.map(read, keys), strict=True) if record}
            about = [
                (record.source, "" if record.sample_id == row_failure_id(record.source) else record.sample_id)
                for record in records.values()
            ]
            outdated = [key for key, is_so in zip(records, ledger.outdated_many(about), strict=True) if is_so]
            list(pool.map(store.delete, outdated))


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, KEYS_A_CALL)):
        yield chunk
