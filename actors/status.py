"""What a pool tells of itself."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MemberStatus:
    """One worker."""

    index: int
    node: str
    pid: int
    state: str
    """starting, loading, free, idle (in a gang without a request) or busy."""


@dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """The workers, the gangs and the queue at one moment; counts and times are since the pool began."""

    phase: str
    """starting, ready, renewing, failed or closing."""
    workers: int
    busy_workers: int
    busy_gangs: int
    gangs: tuple[tuple[int, bool], ...]
    """(width, busy) of every gang."""
    queued: int
    done: int
    failed: int
    cancelled: int
    resumed: int
    """How often a video went on from a snapshot after its gang broke."""
    generation: int
    """Gangs formed so far."""
    gang_busy_seconds: float
    """Seconds with a request on it, summed over the workers."""
    gang_seconds: float
    """Workers × seconds between the first lease and the last release."""
    members: tuple[MemberStatus, ...]

    @property
    def gang_busy_fraction(self) -> float:
        """The share of the workers' time between the first lease and the last release that had a request."""
        return self.gang_busy_seconds / self.gang_seconds if self.gang_seconds else 0.0
