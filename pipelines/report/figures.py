"""The figures of a dataset: totals, seconds by resolution, and how much attention was broadcast."""

from dataclasses import dataclass

import numpy as np

from pipelines.report.active_time import ActiveTime
from pipelines.report.at_once import workers_at_once
from pipelines.report.numbers import KINDS, Numbers


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over all videos."""

    videos: int
    played_s: float
    """How long it takes to play them all."""
    file_bytes: int
    worker_s: float
    """Seconds of making, times the width of the gang."""
    active_s: float
    """Time in which videos were made, pauses left out; 0 if no time was recorded."""
    workers: int
    """The most that were busy at once."""
    began: float | None
    ended: float | None
    """In seconds since 1970."""
    bytes_sent: int
    bytes_saved: int

    @property
    def videos_per_hour(self) -> float | None:
        """Over the active time."""
        return self.videos / self.active_s * 3600 if self.active_s else None

    @property
    def workers_busy(self) -> float | None:
        """How many, the mean over the active time."""
        return self.worker_s / self.active_s if self.active_s else None

    @property
    def saved_share(self) -> float | None:
        """The share of the bytes that would have been sent, had nothing been broadcast."""
        whole = self.bytes_sent + self.bytes_saved
        return self.bytes_saved / whole if whole else None


@dataclass(frozen=True, kw_only=True)
class Kin:
    """Videos of one shape, number of steps and PAB, made by gangs of one width; seconds are of making one."""

    width: int
    height: int
    num_frames: int
    steps: int
    pab: str
    gang_width: int
    videos: int
    least_s: float
    lower_s: float
    """The first quartile."""
    median_s: float
    upper_s: float
    most_s: float


@dataclass(frozen=True, kw_only=True)
class Share:
    """How often a kind of attention was broadcast, in the videos of one PAB."""

    pab: str
    kind: str
    videos: int
    steps: int
    """Of all these videos."""
    computed: int
    """Of the steps, those that computed it."""

    @property
    def broadcast(self) -> float:
        """The share of the steps that reused what an earlier one computed."""
        return 1 - self.computed / self.steps


def active_time(numbers: Numbers) -> ActiveTime:
    """Of the videos whose time is known."""
    known = _timed(numbers)
    return ActiveTime.of(numbers.start[known], numbers.start[known] + numbers.seconds[known])


def totals(numbers: Numbers) -> Totals:
    """Of all videos."""
    time = active_time(numbers)
    return Totals(
        videos=len(numbers),
        played_s=float(numbers.duration_s.sum()),
        file_bytes=int(numbers.counts["video_bytes"].sum()),
        worker_s=float((numbers.seconds * numbers.counts["gang_width"]).sum()),
        active_s=time.seconds,
        workers=workers_at_once(numbers),
        began=float(time.starts[0]) if len(time.starts) else None,
        ended=float(time.ends[-1]) if len(time.ends) else None,
        bytes_sent=int(numbers.counts["bytes_sent"].sum()),
        bytes_saved=int(numbers.counts["bytes_saved"].sum()),
    )


def kinships(numbers: Numbers) -> list[Kin]:
    """The kins of all videos whose seconds are known, small shapes first."""
    known = np.flatnonzero(numbers.seconds > 0)
    if not len(known):
        return []
    names = ("width", "height", "num_frames", "steps", "gang_width")
    keys = np.stack([*(numbers.counts[name][known] for name in names), numbers.pab[known]], axis=1)
    kinds, member = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(member.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(member.ravel(), minlength=len(kinds)))
    found = []
    for (width, height, num_frames, steps, gang_width, pab), seconds in zip(
        kinds.tolist(), np.split(numbers.seconds[known][order], ends[:-1]), strict=True
    ):
        least, lower, median, upper, most = np.quantile(seconds, (0, 0.25, 0.5, 0.75, 1)).tolist()
        found.append(
            Kin(
                **{"width": width, "height": height, "num_frames": num_frames, "steps": steps},
                **{"gang_width": gang_width, "pab": numbers.pabs[pab], "videos": len(seconds)},
                **{"least_s": least, "lower_s": lower, "median_s": median, "upper_s": upper, "most_s": most},
            )
        )
    return sorted(found, key=lambda kin: (kin.width * kin.height * kin.num_frames, kin.width, kin.steps, kin.pab))


def shares(numbers: Numbers) -> list[Share]:
    """By PAB, that of the most videos first, and kind, for those whose steps were recorded.

    MLPs are there only where some were reused, for most settings reuse none.
    """
    steps = numbers.counts["evaluations"]
    found = []
    for place, pab in sorted(enumerate(numbers.pabs), key=lambda item: -int((numbers.pab == item[0]).sum())):
        for kind in KINDS:
            computed = numbers.counts[f"{kind}_computed"]
            chosen = (numbers.pab == place) & (steps > 0) & (computed > 0)
            done, whole = int(computed[chosen].sum()), int(steps[chosen].sum())
            if whole and not (kind == "mlp" and done == whole):
                videos = int(chosen.sum())
                found.append(Share(pab=pab, kind=kind, videos=videos, steps=whole, computed=min(done, whole)))
    return found


def _timed(numbers: Numbers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    known: np.ndarray[tuple[int], np.dtype[np.bool_]] = ~np.isnan(numbers.start) & (numbers.seconds > 0)
    return known
