"""Gangs over time, laid out for a picture: a bar a video, or where there are many the workers that were busy."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import numpy as np

from pipelines.commands.output import spell_seconds
from pipelines.gang_seats import Bar, runs_of, seat_bars
from pipelines.report.active_time import ActiveTime
from pipelines.report.at_once import workers_at_once
from pipelines.report.axis import Axis, time_ticks
from pipelines.report.numbers import Floats, Ints, Numbers
from pipelines.report.tones import tones_of

MOST_BARS, MOST_ROWS = 240, 32
"""With more videos or workers than that, the busy workers are summed."""
MOMENTS = 180
"""Columns of the summed picture."""
_PAUSE_PERCENT = 1.2
"""How wide a pause is drawn."""
_LABEL_PERCENT = 30.0
"""How far apart labels of stretches are at least."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A part of a gang; x and width in percent of the picture, y and height in workers."""

    x: float
    width: float
    y: float
    height: float
    tone: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A label at `x` percent."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class GangWidth:
    """A width that occurs."""

    width: int
    tone: int
    videos: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The picture."""

    boxes: tuple[Box, ...]
    rows: float
    """Its height in workers."""
    levels: tuple[float, ...]
    """Numbers of workers to mark, of a summed picture."""
    ticks: tuple[Mark, ...]
    """Of the time since the first start, without the pauses."""
    stretches: tuple[Mark, ...]
    """Where the time goes on after a pause, and when that was."""
    pauses: tuple[float, ...]
    """Where pauses are, in percent."""
    widths: tuple[GangWidth, ...]
    untimed: int
    """Videos whose time is that of their commit, less their seconds."""

    @property
    def is_summed(self) -> bool:
        """Whether it shows sums and no videos."""
        return bool(self.levels)

    @classmethod
    def of(cls, numbers: Numbers) -> Self | None:
        """Of the videos whose time and width are known; None if there are none."""
        gang = numbers.counts["gang_width"]
        known = ~np.isnan(numbers.start) & (numbers.seconds > 0) & (gang > 0)
        if not known.any():
            return None
        start, gang = numbers.start[known], gang[known]
        end = start + numbers.seconds[known]
        time = ActiveTime.of(start, end)
        scale = _Scale(time)
        rows = workers_at_once(numbers)
        tones = tones_of(gang.tolist())
        levels: tuple[float, ...] = ()
        if len(start) > MOST_BARS or rows > MOST_ROWS:
            boxes, top = _sums(start, end, gang, time, scale, tones)
            axis = Axis.of([top], most_ticks=4)
            rows_shown, levels = axis.high, axis.ticks
        else:
            boxes, rows_shown = _bars(start, end, gang, rows, scale, tones), float(rows)
        videos = Counter(gang.tolist())
        return cls(
            boxes=tuple(boxes),
            rows=rows_shown,
            levels=levels,
            ticks=scale.ticks(),
            stretches=scale.labels(),
            pauses=scale.pauses(),
            widths=tuple(GangWidth(width=width, tone=tones[width], videos=videos[width]) for width in sorted(videos)),
            untimed=int((~numbers.is_timed[known]).sum()),
        )


class _Scale:
    """From moments to percent of the picture; pauses are narrow."""

    def __init__(self, time: ActiveTime) -> None:
        self._time = time
        count = len(time.starts)
        self._pause = min(_PAUSE_PERCENT, 30.0 / count)
        self._percent_a_s = (100 - self._pause * (count - 1)) / max(time.seconds, 1e-9)

    def x(self, moments: Floats) -> Floats:
        stretch = np.clip(np.searchsorted(self._time.starts, moments, side="right") - 1, 0, None)
        placed: Floats = self._time.place(moments) * self._percent_a_s + stretch * self._pause
        return placed

    def ticks(self) -> tuple[Mark, ...]:
        seconds = time_ticks(self._time.seconds)
        stretch = np.searchsorted(np.cumsum(self._time.ends - self._time.starts)[:-1], seconds)
        places = np.array(seconds) * self._percent_a_s + stretch * self._pause
        return tuple(
            Mark(x=round(x, 3), text=_spell_tick(second, last=seconds[-1]))
            for second, x in zip(seconds, places.tolist(), strict=True)
        )

    def labels(self) -> tuple[Mark, ...]:
        found: list[Mark] = []
        for start, x in zip(self._time.starts.tolist(), self.x(self._time.starts).tolist(), strict=True):
            if not found or (x - found[-1].x >= _LABEL_PERCENT and x <= 100 - _LABEL_PERCENT / 2):
                found.append(Mark(x=round(x, 3), text=f"{datetime.fromtimestamp(start, UTC):%d %b %H:%M}"))
        return tuple(found)

    def pauses(self) -> tuple[float, ...]:
        return tuple((self.x(self._time.starts[1:]) - self._pause / 2).round(3).tolist())


def _spell_tick(second: int, last: int) -> str:
    """The last one says the unit."""
    if last < 100:
        text, unit = f"{second}", "s"
    elif last < 6000:
        text, unit = f"{second // 60}:{second % 60:02}", "min"
    else:
        text, unit = f"{second // 3600}:{second // 60 % 60:02}", "h"
    if not second:
        return "0"
    return f"{text} {unit}" if second == last else text


def _bars(start: Floats, end: Floats, gang: Ints, rows: int, scale: _Scale, tones: dict[int, int]) -> list[Box]:
    first = float(start.min())
    bars = [
        Bar(number=number, width=width, start_s=begun - first, end_s=ended - first)
        for number, (width, begun, ended) in enumerate(zip(gang.tolist(), start.tolist(), end.tolist(), strict=True))
    ]
    left, right = scale.x(start), scale.x(end)
    boxes = []
    for bar, seats in seat_bars(bars, rows):
        note = f"gang of {bar.width}, {spell_seconds(bar.end_s - bar.start_s)}"
        x, width = float(left[bar.number]), float(right[bar.number] - left[bar.number])
        for row, height in runs_of(seats):
            box = Box(x=round(x, 3), width=round(width, 3), y=row, height=height, tone=tones[bar.width], note=note)
            boxes.append(box)
    return boxes


def _sums(
    start: Floats, end: Floats, gang: Ints, time: ActiveTime, scale: _Scale, tones: dict[int, int]
) -> tuple[list[Box], float]:
    """Columns of the mean number of busy workers, those of narrow gangs below; y is counted from below."""
    boxes: list[Box] = []
    top = 0.0
    for first, last in zip(time.starts.tolist(), time.ends.tolist(), strict=True):
        edges = np.linspace(first, last, max(1, round(MOMENTS * (last - first) / time.seconds)) + 1)
        left, right = scale.x(np.array([first, last])).tolist()
        x = np.linspace(left, right, len(edges))
        inside = (start >= first) & (start <= last)
        height = np.zeros(len(edges) - 1)
        for width in sorted(tones):
            chosen = inside & (gang == width)
            busy = width * np.diff(_busy_until(edges, start[chosen], end[chosen])) / np.diff(edges)
            boxes.extend(_columns(x, height, busy, tones[width]))
            height += busy
        top = max(top, float(height.max()))
    return boxes, top


def _columns(x: Floats, y: Floats, height: Floats, tone: int) -> Iterator[Box]:
    """Columns of these heights, each on its `y`, those of nothing left out."""
    widths = np.diff(x)
    for place in np.flatnonzero(height > 1e-6).tolist():
        yield Box(
            x=round(float(x[place]), 3),
            width=round(float(widths[place]), 3),
            y=round(float(y[place]), 3),
            height=round(float(height[place]), 3),
            tone=tone,
        )


def _busy_until(moments: Floats, start: Floats, end: Floats) -> Floats:
    """For each moment, the seconds up to there between starts and ends, summed over all videos."""

    def passed(events: Floats) -> Floats:
        ordered = np.sort(events)
        sums = np.concatenate(([0.0], np.cumsum(ordered - moments[0])))
        count = np.searchsorted(ordered, moments)
        return np.asarray(count * (moments - moments[0]) - sums[count], np.float64)

    return passed(start) - passed(end)
