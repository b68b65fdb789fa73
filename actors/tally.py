"""How the requests of a pool ended."""

from dataclasses import dataclass

from cluster.errors import Cancelled, PabcastError


@dataclass
class Tally:
    """Requests by how they ended, and what happened to them."""

    done: int = 0
    failed: int = 0
    cancelled: int = 0
    resumed: int = 0
    """How often a video went on from a snapshot on another gang."""

    def count(self, error: PabcastError | None) -> None:
        """Add one that ended with `error`, or well."""
        if error is None:
            self.done += 1
        elif isinstance(error, Cancelled):
            self.cancelled += 1
        else:
            self.failed += 1
