"""How long a device takes for some work: a line with a floor or a start, fitted to measurements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from cluster.errors import ConfigError
from cluster.workload import SiteWork

Floats = npt.NDArray[np.float64]
MOST_S = 1e6
"""What any part of a measurement may take; more is a mistake."""
_FEATURES = ("per_projection_s", "per_core_s", "per_element_s", "start_s")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise `ConfigError` for a figure out of range; NaN is."""
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value:g}; it must be from {low:g} to {high:g}")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Seconds of a piece of work: ``max(floor, start + a * projections + b * core + c * elements)``.

    What it takes however small it is, is the floor where launching goes on beside the computing (a GPU), and the
    start where one comes after the other (a CPU).
    """

    floor_s: float = 0.0
    start_s: float = 0.0
    per_projection_s: float = 0.0
    """Seconds an operation of matrix products with weights."""
    per_core_s: float = 0.0
    """Seconds an operation of softmax(QK)V."""
    per_element_s: float = 0.0
    """Seconds an element of the output, for all that is done element by element."""

    def __post_init__(self) -> None:
        for name in ("floor_s", *_FEATURES):
            check_between(name, getattr(self, name), 0, MOST_S)

    def seconds(self, work: SiteWork) -> float:
        """Time of `work`, in seconds."""
        return max(self.floor_s, self._line(work))

    def _line(self, work: SiteWork) -> float:
        sizes = _sizes(work)
        return float(sum(getattr(self, name) * size for name, size in zip(_FEATURES, sizes, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A measured piece of work."""

    work: SiteWork
    seconds: float


def fit_rate(timings: Sequence[Timing], *, overlapped: bool = True) -> Rate:
    """The rate with the least squared relative error over `timings`, no coefficient below zero.

    Where launching is `overlapped` with computing, every split into a floor (the mean of the fastest, none at all
    included) and a line through the others is tried; the floor is taken only where it explains what the line alone
    does not. Elsewhere the line has a start and no floor.
    """
    if not timings:
        raise ValueError("a rate needs at least one timing")
    ordered = sorted(timings, key=lambda timing: timing.seconds)
    candidates = _floors_and_lines(ordered) if overlapped else [_fit_line(ordered, _FEATURES)]
    return min(candidates, key=lambda rate: _error(rate, ordered))


def _floors_and_lines(ordered: Sequence[Timing]) -> Iterator[Rate]:
    for fastest in range(len(ordered)):
        floor = float(np.mean([timing.seconds for timing in ordered[:fastest]])) if fastest else 0.0
        yield replace(_fit_line(ordered[fastest:], _FEATURES[:3]), floor_s=floor)


def _fit_line(timings: Sequence[Timing], features: Sequence[str]) -> Rate:
    """Least squares of relative errors, by trying which coefficients are zero: there are four at most."""
    table = np.array([_sizes(timing.work)[: len(features)] for timing in timings], dtype=float)
    table /= np.array([[timing.seconds] for timing in timings])
    best, least = np.zeros(len(features)), float("inf")
    for count in range(1, min(len(features), len(timings)) + 1):
        for chosen in combinations(range(len(features)), count):
            columns = list(chosen)
            if not table[:, columns].any(axis=0).all():
                continue
            scale = table[:, columns].max(axis=0)
            found = np.linalg.lstsq(table[:, columns] / scale, np.ones(len(timings)), rcond=None)[0] / scale
            error = float(np.square(table[:, columns] @ found - 1).sum())
            if (found >= 0).all() and error < least - 1e-12:
                best, least = np.zeros(len(features)), error
                best[columns] = found
    return Rate(**dict(zip(features, best.tolist(), strict=True)))


def _sizes(work: SiteWork) -> tuple[int, ...]:
    """What `_FEATURES` are multiplied by."""
    return (work.projections, work.core, work.elements, 1)


def _error(rate: Rate, timings: Sequence[Timing]) -> float:
    return sum((rate.seconds(timing.work) / timing.seconds - 1) ** 2 for timing in timings)
