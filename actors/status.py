"""What a pool tells of itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.demand import Market
from cluster.plan import Priority


@dataclass(frozen=True, kw_only=True)
class MemberStatus:
    """One worker."""

    index: int
    """Its bundle in its domain."""
    domain: int
    node: str
    pid: int
    state: str
    """starting, loading, free, idle (in a gang without a request) or busy."""


@dataclass(frozen=True, kw_only=True)
class LineStatus:
    """Requests of one class and width that wait."""

    priority: Priority
    width: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class DomainStatus:
    """One domain: the workers of a placement group."""

    name: int
    workers: int
    phase: str
    """pending (no bundles yet), starting (models load), ready, renewing, draining or closing."""
    market: Market


@dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """The workers, the gangs and the queue at one moment; counts and times are since the pool began."""

    phase: str
    """starting, ready, failed or closing."""
    pid: int
    """The pool's own process."""
    workers: int
    """The most there may be."""
    busy_workers: int
    busy_gangs: int
    gangs: tuple[tuple[int, bool], ...]
    """(width, busy) of every gang."""
    queued: int
    lines: tuple[LineStatus, ...]
    """The queue by class and width."""
    domains: tuple[DomainStatus, ...]
    done: int
    failed: int
    cancelled: int
    resumed: int
    """How often a video went on from a snapshot on another gang."""
    reshaped: int
    """Gangs formed out of the workers of others."""
    widened: int
    """Running videos moved to a wider gang."""
    handed_over: int
    """Running videos taken off a draining node."""
    snapshots: int
    retries: Mapping[str, int]
    """Videos tried again, by cause: rank, node, drain, forming, pool."""
    generation: int
    """Gangs formed so far."""
    gang_busy_seconds: float
    """Seconds with a request on it, summed over the workers."""
    gang_seconds: float
    """Seconds of all ready workers together between the first lease and the last release."""
    gpu_seconds: float
    """Seconds that workers have held their bundles, summed: what the budget counts."""
    budget_gpu_seconds: float | None
    """After so many nothing more starts; None: no limit."""
    members: tuple[MemberStatus, ...]

    @property
    def gang_busy_fraction(self) -> float:
        """The share of the workers' time between the first lease and the last release that had a request."""
        return self.gang_busy_seconds / self.gang_seconds if self.gang_seconds else 0.0
