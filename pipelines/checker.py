"""The stage of a job that turns rows into requests still to be made, and records all other rows."""

import json
import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from actors.engine.request import VideoRequest
from pipelines.commits import Commits, FailureRecord, row_failure_id
from pipelines.ledger import Entry
from pipelines.rows import BadRow, RowDefaults, bad_row, duplicate_reason, next_seed, read_row
from pipelines.sampling import limit_problem

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
            found = self._read(row)
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

    def _read(self, row: Mapping[str, Any]) -> list[VideoRequest] | BadRow:
        source, problem = str(row["source"]), str(row["problem"] or "")
        fields = json.loads(row["fields"] or "{}")
        if problem:
            return bad_row(fields, source, problem)
        return read_row(fields, source, self.defaults)

    def _claim(self, wanted: Sequence[Wanted]) -> tuple[list[Wanted], list[BadRow]]:
        """Claim the samples: a line of txt cannot carry a seed and takes the next free one, another row is refused."""
        claims = [(item.request.sample_id, item.source) for item in wanted]
        answers = self.ledger.claim_many(claims) if claims else []
        claimed: list[Wanted] = []
        refused: list[BadRow] = []
        for item, is_ours in zip(wanted, answers, strict=True):
            if is_ours:
                claimed.append(item)
            elif _is_line(item.source) and (free := self._next_free(item)):
                claimed.append(free)
            else:
                name = item.request.id or ""
                refused.append(BadRow(source=item.source, reason=duplicate_reason(item.request), id=name))
        return claimed, refused

    def _next_free(self, item: Wanted) -> Wanted | None:
        """The sample with the next seed that nobody asked for; None if the seeds are used up."""
        request = item.request
        is_ours = False
        while not is_ours:
            request = next_seed(request)
            if limit_problem("seed", request.seed):
                return None
            (is_ours,) = self.ledger.claim_many([(request.sample_id, item.source)])
        return Wanted(source=item.source, request=request)

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


def _number_samples(requests: Sequence[VideoRequest], source: str) -> list[Wanted]:
    return [
        Wanted(source=f"{source}#{number}" if number > 1 else source, request=request)
        for number, request in enumerate(requests, start=1)
    ]


def _is_line(source: str) -> bool:
    return source.rpartition(":")[0].lower().endswith(".txt")
