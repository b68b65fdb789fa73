"""The desk of one run: its ledger, and the pool that its submitters ask the driver for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from cluster.errors import ClusterError
from cluster.placement import beside_us
from pipelines.ledger import Entry, Ledger, LedgerCounts, Outcome

GONE = "the job's desk is gone: the process that counts its rows died"


class Desk(Ledger):
    """The ledger of the run, and the way to the pool.

    Only the driver starts a pool, and only once a submitter has something to make: so a run that finds
    everything committed starts no worker, and the pool belongs to one process that ends it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pool: Any = None
        self._wanted = False
        self._closed = False

    def ask_for_pool(self) -> tuple[Any, bool]:
        """The pool's client, None until it is ready; and whether the run is stopping."""
        self._wanted = True
        return self._pool, self._closed

    def open_pool(self, client: Any) -> None:
        """Hand out the client of a ready pool."""
        self._pool = client

    def close_pool(self) -> None:
        """Tell the submitters to stop."""
        self._closed = True
        self._pool = None

    def open_samples(self) -> int:
        """Samples that were read and have no outcome; none count once the run is stopping, lest a reader wait."""
        return 0 if self._closed else self.counts().open

    def look(self) -> tuple[LedgerCounts, bool]:
        """The counts so far, and whether somebody has asked for a pool."""
        return self.counts(), self._wanted


@dataclass(frozen=True)
class RemoteDesk:
    """A desk in a process of its own, which uses no CPU slot and ends with its last handle; it pickles.

    Its methods raise `ClusterError` once that process is gone.
    """

    actor: Any

    @classmethod
    def start(cls) -> "RemoteDesk":
        """Start one beside this process: it is the job's end when it dies, so it must not go with another node."""
        how: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_concurrency": 8}
        return cls(ray.remote(Desk).options(**how, scheduling_strategy=beside_us()).remote())

    def claim_many(self, claims: Sequence[tuple[str, str]]) -> list[bool]:
        """As `Ledger.claim_many`."""
        answers: list[bool] = _ask(self.actor.claim_many.remote(claims))
        return answers

    def place_many(self, asked: Sequence[tuple[str, str]]) -> list[int]:
        """As `Ledger.place_many`."""
        places: list[int] = _ask(self.actor.place_many.remote(asked))
        return places

    def record_many(self, entries: Sequence[Entry]) -> None:
        """As `Ledger.record_many`."""
        _ask(self.actor.record_many.remote(entries))

    async def record(self, outcome: Outcome, source: str, **about: str) -> None:
        """As `Ledger.record`."""
        try:
            await self.actor.record.remote(outcome, source, **about)
        except ray.exceptions.RayActorError as error:
            raise ClusterError(GONE) from error

    async def ask_for_pool(self) -> tuple[Any, bool]:
        """As `Desk.ask_for_pool`."""
        try:
            answer: tuple[Any, bool] = await self.actor.ask_for_pool.remote()
        except ray.exceptions.RayActorError as error:
            raise ClusterError(GONE) from error
        return answer

    def open_pool(self, client: Any) -> None:
        """As `Desk.open_pool`."""
        _ask(self.actor.open_pool.remote(client))

    def close_pool(self) -> None:
        """As `Desk.close_pool`."""
        _ask(self.actor.close_pool.remote())

    def look(self, timeout_s: float) -> tuple[LedgerCounts, bool]:
        """As `Desk.look`; `TimeoutError` if the answer takes longer."""
        answer: tuple[LedgerCounts, bool] = _ask(self.actor.look.remote(), timeout_s)
        return answer

    def failures(self, timeout_s: float | None = None) -> list[Entry]:
        """As `Ledger.failures`; `TimeoutError` if the answer takes longer."""
        answer: list[Entry] = _ask(self.actor.failures.remote(), timeout_s)
        return answer

    def see_many(self, sample_ids: Sequence[str]) -> None:
        """As `Ledger.see_many`."""
        _ask(self.actor.see_many.remote(sample_ids))

    def unseen(self) -> tuple[int, list[str]]:
        """As `Ledger.unseen`."""
        answer: tuple[int, list[str]] = _ask(self.actor.unseen.remote())
        return answer

    def outdated_many(self, failures: Sequence[tuple[str, str]]) -> list[bool]:
        """As `Ledger.outdated_many`."""
        answers: list[bool] = _ask(self.actor.outdated_many.remote(failures))
        return answers


def _ask(answer: Any, timeout_s: float | None = None) -> Any:
    try:
        return ray.get(answer, timeout=timeout_s)
    except ray.exceptions.RayActorError as error:
        raise ClusterError(GONE) from error
