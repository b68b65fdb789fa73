"""How long a device takes for some work: a floor, and a line above it, fitted to measurements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from cluster.workload import SiteWork

Floats = npt.NDArray[np.float64]
_FEATURES = ("per_projection_s", "per_core_s", "per_element_s")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Seconds of a piece of work: ``max(floor, a * projections + b * core + c * elements)``.

    The floor is what launching it takes, however small it is.
    """

    floor_s: float = 0.0
    per_projection_s: float = 0.0
    """Seconds an operation of matrix products with weights."""
    per_core_s: float = 0.0
    """Seconds an operation of softmax(QK)V."""
    per_element_s: float = 0.0
    """Seconds an element of the output, for all that is done element by element."""

    def seconds(self, work: SiteWork) -> float:
        """Time of `work`, in seconds."""
        return max(self.floor_s, self._line(work))

    def _line(self, work: SiteWork) -> float:
        return (
            self.per_projection_s * work.projections + self.per_core_s * work.core + self.per_element_s * work.elements
        )


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A measured piece of work."""

    work: SiteWork
    seconds: float


def fit_rate(timings: Sequence[Timing]) -> Rate:
    """The rate with the least squared relative error over `timings`, no coefficient below zero.

    Every split into a floor (the mean of the fastest, none at all included) and a line through the others is
    tried; the floor is taken only where it explains what the line alone does not.
    """
    if not timings:
        raise ValueError("a rate needs at least one timing")
    ordered = sorted(timings, key=lambda timing: timing.seconds)
    return min(_candidates(ordered), key=lambda rate: _error(rate, ordered))


def _candidates(ordered: Sequence[Timing]) -> Iterator[Rate]:
    for fastest in range(len(ordered)):
        floor = float(np.mean([timing.seconds for timing in ordered[:fastest]])) if fastest else 0.0
        yield _fit_line(ordered[fastest:], floor)


def _fit_line(timings: Sequence[Timing], floor: float) -> Rate:
    """Least squares of relative errors, by trying which coefficients are zero: there are three."""
    works = [timing.work for timing in timings]
    table = np.array([[work.projections, work.core, work.elements] for work in works], dtype=float)
    table /= np.array([[timing.seconds] for timing in timings])
    best, least = np.zeros(3), float("inf")
    for count in range(1, min(3, len(timings)) + 1):
        for columns in combinations(range(3), count):
            if not table[:, columns].any(axis=0).all():
                continue
            scale = table[:, columns].max(axis=0)
            found = np.linalg.lstsq(table[:, columns] / scale, np.ones(len(timings)), rcond=None)[0] / scale
            error = float(np.square(table[:, columns] @ found - 1).sum())
            if (found >= 0).all() and error < least - 1e-12:
                best, least = np.zeros(3), error
                best[list(columns)] = found
    return Rate(floor_s=floor, **dict(zip(_FEATURES, best.tolist(), strict=True)))


def _error(rate: Rate, timings: Sequence[Timing]) -> float:
    return sum((rate.seconds(timing.work) / timing.seconds - 1) ** 2 for timing in timings)
