"""How the requests of a pool ended, and what happened on the way."""

from collections import Counter
from dataclasses import dataclass, field

from cluster.errors import Cancelled, PabcastError


@dataclass
class Tally:
    """Counts since the pool began."""

    done: int = 0
    failed: int = 0
    cancelled: int = 0
    resumed: int = 0
    """How often a video went on from a snapshot on another gang."""
    reshaped: int = 0
    """Gangs formed out of the workers of others."""
    widened: int = 0
    """Running videos moved to a wider gang."""
    handed_over: int = 0
    """Running videos taken off a draining domain."""
    snapshots: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    """Videos tried again, by cause."""

    def count(self, error: PabcastError | None) -> None:
        """Add one that ended with `error`, or well."""
        if error is None:
            self.done += 1
        elif isinstance(error, Cancelled):
            self.cancelled += 1
        else:
            self.failed += 1
