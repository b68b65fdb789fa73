"""The desk of one run: its ledger, and the pool that its submitters ask the driver for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from pipelines.ledger import Entry, Ledger, LedgerCounts, Outcome


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

    def look(self) -> tuple[LedgerCounts, bool]:
        """The counts so far, and whether somebody has asked for a pool."""
        return self.counts(), self._wanted


@dataclass(frozen=True)
class RemoteDesk:
    """A desk in a process of its own, which uses no CPU slot and ends with its last handle; it pickles."""

    actor: Any

    @classmethod
    def start(cls) -> "RemoteDesk":
        """Start one in the cluster that this process is connected to."""
        return cls(ray.remote(Desk).options(num_cpus=0, max_restarts=0, max_concurrency=8).remote())

    def claim_many(self, claims: Sequence[tuple[str, str]]) -> list[bool]:
        """As `Ledger.claim_many`."""
        answers: list[bool] = ray.get(self.actor.claim_many.remote(claims))
        return answers

    def record_many(self, entries: Sequence[Entry]) -> None:
        """As `Ledger.record_many`."""
        ray.get(self.actor.record_many.remote(entries))

    async def record(self, outcome: Outcome, source: str, **about: str) -> None:
        """As `Ledger.record`."""
        await self.actor.record.remote(outcome, source, **about)

    async def ask_for_pool(self) -> tuple[Any, bool]:
        """As `Desk.ask_for_pool`."""
        answer: tuple[Any, bool] = await self.actor.ask_for_pool.remote()
        return answer

    def open_pool(self, client: Any) -> None:
        """As `Desk.open_pool`."""
        ray.get(self.actor.open_pool.remote(client))

    def close_pool(self) -> None:
        """As `Desk.close_pool`."""
        ray.get(self.actor.close_pool.remote())

    def look(self) -> tuple[LedgerCounts, bool]:
        """As `Desk.look`."""
        answer: tuple[LedgerCounts, bool] = ray.get(self.actor.look.remote())
        return answer

    def failures(self) -> list[Entry]:
        """As `Ledger.failures`."""
        answer: list[Entry] = ray.get(self.actor.failures.remote())
        return answer

    def see_many(self, sample_ids: Sequence[str]) -> None:
        """As `Ledger.see_many`."""
        ray.get(self.actor.see_many.remote(sample_ids))

    def unseen(self) -> tuple[int, list[str]]:
        """As `Ledger.unseen`."""
        answer: tuple[int, list[str]] = ray.get(self.actor.unseen.remote())
        return answer
