"""Seconds by resolution, laid out for a picture: a strip from the fastest video of a kin to the slowest."""

from dataclasses import dataclass
from typing import Self

from pipelines.report.axis import Axis
from pipelines.report.figures import Kin
from pipelines.report.tones import tones_of

MOST_STRIPS = 40


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Places in percent of the axis."""

    kin: Kin
    tone: int
    least: float
    lower: float
    median: float
    upper: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Strips:
    """The picture: the kins of the most videos, small shapes first."""

    strips: tuple[Strip, ...]
    ticks: tuple[tuple[float, float], ...]
    """(place in percent, seconds)."""
    is_log: bool
    left_out: int
    """Kins of fewer videos."""

    @property
    def has_single(self) -> bool:
        """Whether one of the kins is of one video."""
        return any(strip.kin.videos == 1 for strip in self.strips)

    @property
    def has_ranges(self) -> bool:
        """Whether one of them is of several."""
        return any(strip.kin.videos > 1 for strip in self.strips)

    @classmethod
    def of(cls, kins: list[Kin]) -> Self | None:
        """Of all kins; None if there are none."""
        if not kins:
            return None
        often = sorted(kins, key=lambda kin: -kin.videos)[:MOST_STRIPS]
        shown = [kin for kin in kins if kin in often]
        axis = Axis.of([seconds for kin in shown for seconds in (kin.least_s, kin.most_s)])
        tones = tones_of(kin.gang_width for kin in kins)
        return cls(
            strips=tuple(_strip(kin, axis, tones[kin.gang_width]) for kin in shown),
            ticks=tuple((axis.percent(tick), tick) for tick in axis.ticks),
            is_log=axis.is_log,
            left_out=len(kins) - len(shown),
        )


def _strip(kin: Kin, axis: Axis, tone: int) -> Strip:
    least, lower, median, upper, most = (
        axis.percent(seconds) for seconds in (kin.least_s, kin.lower_s, kin.median_s, kin.upper_s, kin.most_s)
    )
    return Strip(kin=kin, tone=tone, least=least, lower=lower, median=median, upper=upper, most=most)
