"""A rank's place in a gang."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A rank's place in a gang of one generation."""

    generation: int
    rank: int
    width: int
    host: str
    port: int
    timeout_s: float
    """How long a collective may take. The pool notices a lost rank long before, from outside."""
