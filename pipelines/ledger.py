"""The ledger of one run: who claimed which sample, what became of every row, and the counts, in bounded memory."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Outcome = Literal["failed", "skipped", "committed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_RANK = {"": 0, "failed": 1, "skipped": 2, "committed": 3}
FAILURES_KEPT = UNSEEN_KEPT = 20
CACHE_KIB = 8192


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What became of one row (of one sample of it, if it asks for several: then `source` says which)."""

    source: str
    outcome: Outcome
    sample_id: str = ""
    id: str = ""
    reason: str = ""
    """Of a failure, in one sentence."""
    kind: str = ""
    """Of a failure: the error's class."""


@dataclass(frozen=True, kw_only=True)
class LedgerCounts:
    """The rows of a run so far."""

    requested: int
    """Rows seen."""
    skipped: int
    """Committed by an earlier run."""
    committed: int
    failed: int

    @property
    def open(self) -> int:
        """Rows whose outcome is not known yet."""
        return self.requested - self.skipped - self.committed - self.failed


class Ledger:
    """Counts every source once, however often Ray repeats its task.

    The rows are in a private sqlite database that spills to a nameless temporary file, which is gone when the
    process is, however it ends. Serves many threads.
    """

    def __init__(self, failures_kept: int = FAILURES_KEPT) -> None:
        self._failures_kept = failures_kept
        self._failures: OrderedDict[str, Entry] = OrderedDict()
        self._counts = dict.fromkeys(_RANK, 0)
        self._lock = threading.Lock()
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE claims (sample_id TEXT PRIMARY KEY, source TEXT, seen INTEGER DEFAULT 0) WITHOUT ROWID"
        )
        self._database.execute(
            "CREATE TABLE places (sample_id TEXT, source TEXT, place INTEGER, PRIMARY KEY (sample_id, source)) "
            "WITHOUT ROWID"
        )
        self._database.execute("CREATE TABLE queues (sample_id TEXT PRIMARY KEY, length INTEGER) WITHOUT ROWID")
        self._database.execute(
            "CREATE TABLE outcomes (source TEXT PRIMARY KEY, outcome TEXT, failed_id TEXT) WITHOUT ROWID"
        )

    def claim(self, sample_id: str, source: str) -> bool:
        """Whether `source` is the first of this run to ask for this sample; True again for the same source."""
        return self.claim_many([(sample_id, source)])[0]

    def claim_many(self, claims: Sequence[tuple[str, str]]) -> list[bool]:
        """`claim` for many (sample_id, source) at once."""
        with self._lock, self._database:
            self._database.execute("BEGIN")
            return [self._claim(_text(sample_id), _text(source)) for sample_id, source in claims]

    def place_many(self, asked: Sequence[tuple[str, str]]) -> list[int]:
        """How many other sources asked for the sample before: of each (sample_id, source), the same whenever asked."""
        with self._lock, self._database:
            self._database.execute("BEGIN")
            return [self._place(_text(sample_id), _text(source)) for sample_id, source in asked]

    def owner(self, sample_id: str) -> str | None:
        """The source that claimed a sample."""
        with self._lock:
            row = self._database.execute(
                "SELECT source FROM claims WHERE sample_id = ?", (_text(sample_id),)
            ).fetchone()
        return None if row is None else str(row[0])

    def record(
        self, outcome: Outcome, source: str, *, sample_id: str = "", id: str = "", reason: str = "", kind: str = ""
    ) -> None:
        """Note what became of a row. A repeat counts once; committed beats skipped, and skipped beats failed."""
        self.record_many([Entry(source=source, outcome=outcome, sample_id=sample_id, id=id, reason=reason, kind=kind)])

    def record_many(self, entries: Sequence[Entry]) -> None:
        """`record` for many at once; `ValueError` for an outcome that there is not."""
        for entry in entries:
            if entry.outcome not in OUTCOMES:
                raise ValueError(f"{entry.outcome!r} is no outcome; use one of {', '.join(OUTCOMES)}")
        with self._lock, self._database:
            self._database.execute("BEGIN")
            for entry in entries:
                self._record(entry)

    def counts(self) -> LedgerCounts:
        """The counts so far."""
        with self._lock:
            counts = dict(self._counts)
        return LedgerCounts(
            requested=sum(counts.values()),
            skipped=counts["skipped"],
            committed=counts["committed"],
            failed=counts["failed"],
        )

    def failures(self) -> list[Entry]:
        """The last failures, oldest first; 20 at most."""
        with self._lock:
            return list(self._failures.values())

    def see_many(self, sample_ids: Sequence[str]) -> None:
        """Note that these samples have a commit in the store."""
        with self._lock, self._database:
            self._database.execute("BEGIN")
            self._database.executemany(
                "UPDATE claims SET seen = 1 WHERE sample_id = ?", [(_text(sample_id),) for sample_id in sample_ids]
            )

    def unseen(self) -> tuple[int, list[str]]:
        """How many samples count as committed or skipped and were not noted by `see_many`, and the first 20."""
        query = "FROM claims JOIN outcomes USING (source) WHERE outcome IN ('skipped', 'committed') AND NOT seen"
        with self._lock:
            (count,) = self._database.execute(f"SELECT COUNT(*) {query}").fetchone()
            first = self._database.execute(f"SELECT sample_id {query} ORDER BY sample_id LIMIT {UNSEEN_KEPT}")
            return int(count), [str(row[0]) for row in first]

    def outdated_many(self, failures: Sequence[tuple[str, str]]) -> list[bool]:
        """Of each failure of some run (source, sample_id): whether this run read its file and it is none any more.

        The sample_id is empty for a row that was no request.
        """
        with self._lock:
            return [self._is_outdated(_text(source), _text(sample_id)) for source, sample_id in failures]

    def close(self) -> None:
        """Drop the database."""
        self._database.close()

    def _claim(self, sample_id: str, source: str) -> bool:
        self._move(source, "")
        self._database.execute("INSERT OR IGNORE INTO claims (sample_id, source) VALUES (?, ?)", (sample_id, source))
        row = self._database.execute("SELECT source FROM claims WHERE sample_id = ?", (sample_id,)).fetchone()
        return bool(row[0] == source)

    def _place(self, sample_id: str, source: str) -> int:
        key = (sample_id, source)
        row = self._database.execute("SELECT place FROM places WHERE sample_id = ? AND source = ?", key).fetchone()
        if row is not None:
            return int(row[0])
        self._database.execute("INSERT OR IGNORE INTO queues VALUES (?, 0)", (sample_id,))
        query = "UPDATE queues SET length = length + 1 WHERE sample_id = ? RETURNING length - 1"
        (place,) = self._database.execute(query, (sample_id,)).fetchone()
        self._database.execute("INSERT INTO places VALUES (?, ?, ?)", (*key, place))
        return int(place)

    def _record(self, entry: Entry) -> None:
        source = _text(entry.source)
        if not self._move(source, entry.outcome):
            return
        self._database.execute("UPDATE outcomes SET failed_id = ? WHERE source = ?", (_text(entry.sample_id), source))
        self._failures.pop(source, None)
        if entry.outcome == "failed":
            self._failures[source] = entry
            if len(self._failures) > self._failures_kept:
                self._failures.popitem(last=False)

    def _is_outdated(self, source: str, sample_id: str) -> bool:
        query = "SELECT outcome, failed_id FROM outcomes WHERE source = ?"
        row = self._database.execute(query, (source,)).fetchone()
        if row is not None:
            return bool(tuple(row) != ("failed", sample_id))
        # The sources of a file are its name, a colon and a number; a semicolon is what follows a colon.
        file = source.rpartition(":")[0]
        query = "SELECT 1 FROM outcomes WHERE source > ? AND source < ? LIMIT 1"
        return self._database.execute(query, (f"{file}:", f"{file};")).fetchone() is not None

    def _move(self, source: str, outcome: str) -> bool:
        """Count `source` under `outcome` unless it has a better one; whether it does now."""
        row = self._database.execute("SELECT outcome FROM outcomes WHERE source = ?", (source,)).fetchone()
        if row is not None and _RANK[row[0]] >= _RANK[outcome]:
            return bool(row[0] == outcome)
        if row is not None:
            self._counts[row[0]] -= 1
        self._counts[outcome] += 1
        self._database.execute("INSERT OR REPLACE INTO outcomes VALUES (?, ?, '')", (source, outcome))
        return True


def _text(value: str) -> str:
    """Sqlite takes no unpaired surrogates."""
    return value.encode("utf-8", "backslashreplace").decode()
