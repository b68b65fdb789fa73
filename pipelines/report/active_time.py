"""The time in which videos were made, without the pauses between one run of a job and the next."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from pipelines.report.numbers import Floats

PAUSE_S = 600.0
"""A time without any video that is longer than this is a pause, and not part of a run."""


@dataclass(frozen=True)
class ActiveTime:
    """Stretches of time, from the first start to the last end."""

    starts: Floats
    ends: Floats
    """Of the stretches, in seconds since 1970."""

    @classmethod
    def of(cls, start: Floats, end: Floats) -> Self:
        """The stretches in which there is a video from `start` to `end`, or in which the next is about to begin."""
        if not len(start):
            return cls(np.empty(0), np.empty(0))
        order = np.argsort(start, kind="stable")
        start, latest = start[order], np.maximum.accumulate(end[order])
        breaks = np.flatnonzero(start[1:] - latest[:-1] > PAUSE_S)
        first = np.concatenate(([0], breaks + 1))
        last = np.concatenate((breaks, [len(start) - 1]))
        return cls(start[first], latest[last])

    @property
    def seconds(self) -> float:
        """The length of all stretches."""
        return float((self.ends - self.starts).sum())

    def place(self, moments: Floats) -> Floats:
        """Where moments inside stretches are, in seconds of active time."""
        lengths = self.ends - self.starts
        before = np.concatenate(([0.0], np.cumsum(lengths)))[:-1]
        which = np.clip(np.searchsorted(self.starts, moments, side="right") - 1, 0, None)
        inside = np.clip(moments - self.starts[which], 0, lengths[which])
        return np.asarray(before[which] + inside, np.float64)
