"""What the pool's planner is told, and what it decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Priority = Literal["online", "offline"]
BYPASS_LIMIT = 8
"""How many starts a request's turn may be passed by."""
LEAST_GAIN = 0.15
"""A running video moves for at least this share of the time it has left,"""
LEAST_GAIN_S = 1.0
"""and for at least so many seconds, some twice what moving costs: it redoes no step, but forms a group and encodes the
text again."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A request near the front of its line."""

    ticket: str
    arrival: int
    """Its number in the order of arrival."""
    late: int = 0
    """Starts since it came, less the requests that waited then: how far its turn is past."""
    seconds: Mapping[int, float] = field(default_factory=dict)
    """Predicted, at every width that it may be given, its line's included; empty if it must have that one."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Requests of one class and width, in order of arrival."""

    priority: Priority = "offline"
    width: int
    waiting: int
    heads: tuple[Head, ...]
    """The first ones: as many as could start now."""


@dataclass(frozen=True, kw_only=True)
class IdleGang:
    """A gang that holds workers and has no request."""

    gang: int
    width: int


@dataclass(frozen=True, kw_only=True)
class RunningGang:
    """A gang with a request."""

    gang: int
    width: int
    priority: Priority = "offline"
    left_s: Mapping[int, float] = field(default_factory=dict)
    """Predicted seconds to its end at every width that it may move to, its own included; empty if it stays."""


@dataclass(frozen=True, kw_only=True)
class DomainState:
    """The workers of a domain; gangs do not reach beyond it."""

    name: int
    free: int
    """Workers without a gang."""
    idle: tuple[IdleGang, ...] = ()
    running: tuple[RunningGang, ...] = ()

    @property
    def workers(self) -> int:
        """All of them."""
        return self.free + sum(gang.width for gang in self.idle) + sum(gang.width for gang in self.running)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What keeps either class from starving the other: online goes first, but for these."""

    offline: float = 0.1
    """The share of the worker-seconds that offline requests get while online ones wait too."""
    offline_workers: int | None = None
    """The most that offline requests hold at once; None bounds it not."""


@dataclass(frozen=True, kw_only=True)
class Taking:
    """Where the workers of a new gang come from: gangs that dissolve, and workers without one."""

    domain: int
    width: int
    dissolve: tuple[int, ...]
    free_workers: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """A request that starts on the idle gang `on`, or on a new one made of what `on` takes."""

    ticket: str
    width: int
    on: int | Taking
    reason: str


@dataclass(frozen=True, kw_only=True)
class Widen:
    """A running video that moves to a wider gang: its own workers and what `taking` adds."""

    gang: int
    width: int
    taking: Taking
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do now, and why the rest waits."""

    starts: tuple[Start, ...]
    widens: tuple[Widen, ...]
    served: Mapping[Priority, float]
    """Worker-seconds given to each class while both waited, these starts included."""
    reason: str
