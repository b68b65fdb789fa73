"""The desk of one run: its ledger, and the pool that its submitters ask the driver for."""

from typing import Any

import ray

from pipelines.ledger import Ledger, LedgerCounts


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


def start_desk() -> Any:
    """A handle to a Desk actor that uses no CPU slot and ends with its last handle."""
    return ray.remote(Desk).options(num_cpus=0, max_restarts=0, max_concurrency=8).remote()
