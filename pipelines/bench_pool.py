"""What `pabcast bench pool` measures: a pool of simulated workers under a long queue, a short one, and at its limit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cluster.errors import ConfigError

WARM_UP_VIDEOS = 2
"""Videos a worker makes before the measuring begins."""
SIMULATED_BYTES = 130_000_000
"""Resident memory of a simulated worker: Python, Ray and numpy."""
MOST_RATE = 2000
"""Leases a second that no pool reaches; says how long a queue must be to last."""


@dataclass(frozen=True, kw_only=True)
class PoolBench:
    """What is asked for.

    Raises:
        ConfigError: a number that cannot work.
    """

    workers: int = 64
    seconds: float = 0.5
    """Of a simulated video."""
    queue: int = 1_000_000
    """Rows of the long queue."""
    measure: float = 30.0
    """Seconds of each phase's steady state."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers is {self.workers}; it must be 1 or more")
        for name in ("seconds", "measure"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(f"--{name} is {value:g}; it must be more than 0")
        if self.queue < self.short_queue:
            raise ConfigError(
                f"--queue is {self.queue}, and {self.workers} workers may make {self.short_queue} videos of "
                f"{self.seconds:g} s while they are measured for {self.measure:g} s; ask for more rows, or for less "
                "with --measure"
            )

    @property
    def short_queue(self) -> int:
        """Rows that last for a phase and little more."""
        return self._lasting(min(self.workers / self.seconds, MOST_RATE))

    @property
    def rate_queue(self) -> int:
        """Rows that last while videos take no time."""
        return max(self.queue, self._lasting(MOST_RATE))

    def check_room(self, free_bytes: int) -> None:
        """Raise `ConfigError` if a machine with so much free memory cannot hold the workers."""
        most = free_bytes // SIMULATED_BYTES
        if self.workers > most:
            raise ConfigError(
                f"--workers is {self.workers}, and the {free_bytes / 1e9:.1f} GB that are free here hold {most} "
                f"simulated workers of {SIMULATED_BYTES / 1e6:.0f} MB each"
            )

    def _lasting(self, rate: float) -> int:
        # Twice: the rows that are read ahead must not be the queue's last.
        return math.ceil(2 * rate * self.measure) + 4 * WARM_UP_VIDEOS * self.workers


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a phase stands."""

    at_s: float
    done: int
    """Videos of the pool so far."""
    busy_s: float
    """Worker-seconds with a request so far, by the pool's clock."""
    memory_mb: Mapping[str, float]
    """Resident: of the pool, its keeper, the driver, the submitters together."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What one queue showed between two moments of its steady state."""

    workers: int
    seconds: float
    """Of a video."""
    queue: int
    """Rows."""
    begin: Moment
    end: Moment
    most_ahead: int
    """The most rows that had been read and were not made."""

    @property
    def wall_s(self) -> float:
        """How long was measured."""
        return self.end.at_s - self.begin.at_s

    @property
    def videos(self) -> int:
        """How many were made."""
        return self.end.done - self.begin.done

    @property
    def rate(self) -> float:
        """Leases a second."""
        return self.videos / self.wall_s

    @property
    def busy(self) -> float:
        """The share of the workers' time that went into videos; 0 where these take no time."""
        return self.rate * self.seconds / self.workers

    @property
    def leased(self) -> float:
        """The share of the workers' time in which they had a request."""
        return (self.end.busy_s - self.begin.busy_s) / (self.workers * self.wall_s)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The phases of one run."""

    long: Phase
    short: Phase
    rate: Phase
    """Videos that take no time."""
    start_s: float
    """From no pool to one whose workers are ready."""
    worker_mb: float
    """Resident memory of a simulated worker, in the mean."""

    @property
    def long_to_short(self) -> float:
        """Leases a second of the long queue, as a multiple of the short one's."""
        return self.long.rate / self.short.rate
