"""The stage of a job that turns rows into requests still to be made, and records all other rows."""

import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from actors.engine.request import VideoRequest
from pipelines.commits import Commits, FailureRecord, row_failure_id
from pipelines.ledger import Entry
from pipelines.rows import BadRow, RowDefaults, duplicate_reason, later_seed, read_source_row

LOOKUPS = 16
"""How many samples are looked up in the store at once."""
_COLUMNS: dict[str, Any] = {"source": pa.string(), "request": pa.binary()}
WANTED = pa.schema(_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A sample that a row asks for."""

    source: str
    """The row's; of the second sample of a row and later ones, with # and its number."""
    request: VideoRequest


class Claims(Protocol):
    """What the stage asks of a run's ledger, here or in another process."""

    def claim_many(self, claims: Sequence[tuple[str, str]]) -> list[bool]:
        """Which (sample_id, source) are the first to ask for their sample."""
        ...

    def place_many(self, asked: Sequence[tuple[str, str]]) -> list[int]:
        """How many sources asked for each sample before its (sample_id, source)."""
        ...

    def record_many(self, entries: Sequence[Entry]) -> None:
        """Note what became of rows."""
        ...


@dataclass(frozen=True, kw_only=True)
class Checker:
    """Reads rows, claims their samples, skips what is committed; it pickles."""

    defaults: RowDefaults
    commits: Commits
    ledger: Claims
    """Of the run."""

    def check(self, table: pa.Table) -> pa.Table:
        """Rows (`source`, `fields`, `problem`) in, pickled requests to be made out (`source`, `request`).

        Everything decided here is in the ledger under the row's source, so that Ray may repeat the task.
        """
        wanted: list[Wanted] = []
        bad: list[BadRow] = []
        for row in table.to_pylist():
            found = read_source_row(row, self.defaults)
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                wanted += _number_samples(found, str(row["source"]))
        claimed, refused = self._claim(wanted)
        with ThreadPoolExecutor(LOOKUPS, thread_name_prefix="check") as pool:
            there = list(pool.map(self.commits.is_committed, [item.request.sample_id for item in claimed]))
            list(pool.map(self._fail, bad + refused))
        skipped = [item for item, is_there in zip(claimed, there, strict=True) if is_there]
        self._record(skipped, bad + refused)
        left = [item for item, is_there in zip(claimed, there, strict=True) if not is_there]
        columns: dict[str, list[Any]] = {
            "source": [item.source for item in left],
            "request": [pickle.dumps(item.request) for item in left],
        }
        return pa.Table.from_pydict(columns, schema=WANTED)

    def _claim(self, wanted: Sequence[Wanted]) -> tuple[list[Wanted], list[BadRow]]:
        """Claim the samples; a row that asks for what an earlier one asked for is refused."""
        placed, refused = self._place(wanted)
        claims = [(item.request.sample_id, item.source) for item in placed]
        answers = self.ledger.claim_many(claims) if claims else []
        claimed = [item for item, is_ours in zip(placed, answers, strict=True) if is_ours]
        refused += [_refuse(item) for item, is_ours in zip(placed, answers, strict=True) if not is_ours]
        return claimed, refused

    def _place(self, wanted: Sequence[Wanted]) -> tuple[list[Wanted], list[BadRow]]:
        """A line of txt cannot carry a seed: of equal ones, each takes the next, by the order in which they ask.

        All lines share the job's seed, so equal ones take the same seeds in whatever order they are checked.
        """
        lines = [item for item in wanted if _is_line(item.source)]
        placed = [item for item in wanted if not _is_line(item.source)]
        refused: list[BadRow] = []
        places = self.ledger.place_many([(item.request.sample_id, item.source) for item in lines]) if lines else []
        for item, place in zip(lines, places, strict=True):
            request = later_seed(item.request, place)
            if request is None:
                refused.append(_refuse(item))
            else:
                placed.append(Wanted(source=item.source, request=request))
        return placed, refused

    def _fail(self, row: BadRow) -> None:
        self.commits.fail(
            FailureRecord(
                sample_id=row_failure_id(row.source), source=row.source, reason=row.reason, kind="BadRow", id=row.id
            )
        )

    def _record(self, skipped: Sequence[Wanted], bad: Sequence[BadRow]) -> None:
        entries = [
            Entry(source=item.source, outcome="skipped", sample_id=item.request.sample_id, id=item.request.id or "")
            for item in skipped
        ]
        entries += [
            Entry(source=row.source, outcome="failed", id=row.id, reason=row.reason, kind="BadRow") for row in bad
        ]
        if entries:
            self.ledger.record_many(entries)


def _refuse(item: Wanted) -> BadRow:
    return BadRow(source=item.source, reason=duplicate_reason(item.request), id=item.request.id or "")


def _number_samples(requests: Sequence[VideoRequest], source: str) -> list[Wanted]:
    return [
        Wanted(source=f"{source}#{number}" if number > 1 else source, request=request)
        for number, request in enumerate(requests, start=1)
    ]


def _is_line(source: str) -> bool:
    return source.rpartition(":")[0].lower().endswith(".txt")
