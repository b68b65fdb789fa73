"""What a run's ledger says, held against what the store holds at the run's end."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from pipelines.commits import COMMITS_FOLDER, commit_key
from pipelines.store import Store

IDS_A_CALL = 1000
T = TypeVar("T")


class Witness(Protocol):
    """What the audit asks of a run's ledger, here or in another process."""

    def see_many(self, sample_ids: Sequence[str]) -> None:
        """Note that these samples have a commit."""
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


def audit(store: Store, ledger: Witness) -> AuditResult:
    """Look for the commit of every sample that `ledger` counts as committed or skipped: one listing."""
    ids = (item.key.rpartition("/")[2].removesuffix(".json") for item in store.list(f"{COMMITS_FOLDER}/"))
    for some in _chunks(ids):
        ledger.see_many(some)
    lost, first = ledger.unseen()
    return AuditResult(lost=lost, lost_names=tuple(commit_key(sample_id) for sample_id in first))


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, IDS_A_CALL)):
        yield chunk
