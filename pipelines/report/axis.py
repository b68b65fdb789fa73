"""Round numbers along an axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_LOG_FROM = 40.0
"""How many times the least the most must be for a logarithmic axis."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """From 0 or `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    @classmethod
    def of(cls, values: Sequence[float], most_ticks: int = 6) -> Self:
        """An axis that holds all `values`, which are more than 0; logarithmic if they are of many sizes."""
        low, high = min(values), max(values)
        if high / low > _LOG_FROM:
            first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
            every = -(-(last - first) // most_ticks)
            ticks = tuple(10.0**power for power in range(first, last + 1, every))
            return cls(low=10.0**first, high=10.0**last, ticks=ticks, is_log=True)
        step = round_step(high / (most_ticks - 1))
        count = math.ceil(high / step - 1e-9)
        return cls(low=0.0, high=count * step, ticks=tuple(step * index for index in range(count + 1)))

    def percent(self, value: float) -> float:
        """Where `value` is, from 0 to 100."""
        if self.is_log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(part, 0.0), 1.0), 3)


def round_step(least: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def time_ticks(seconds: float, most: int = 6) -> tuple[int, ...]:
    """Round times from 0 to `seconds`."""
    step = next((step for step in _STEPS_S if seconds / step < most), 86400 * math.ceil(seconds / 86400 / most))
    return tuple(range(0, int(seconds) + 1, step))
