"""How long workers take for a set of videos."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

_DEALT_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Videos of one kind."""

    videos: int
    width: int
    """Workers of a gang."""
    seconds: float
    """Of one video."""


def makespan(batches: Iterable[Batch], workers: int) -> float:
    """Seconds until all are made by `workers`, by list scheduling, the longest videos first.

    A kind's full rounds, in which every gang has one, take their time on all workers; the last few of each kind and
    what is left over are dealt out one by one to the workers that are free first (Graham, Bounds on Multiprocessing
    Timing Anomalies, 1969), so a gang waits for the last of its workers.
    """
    rounds_s, rest = 0.0, []
    for batch in batches:
        gangs = workers // batch.width
        full = max(0, batch.videos // gangs - _DEALT_ROUNDS)
        rounds_s += full * batch.seconds
        rest += [batch] * (batch.videos - full * gangs)
    free_s = [0.0] * workers
    for video in sorted(rest, key=lambda batch: batch.seconds, reverse=True):
        taken = [heapq.heappop(free_s) for _ in range(video.width)]
        for _ in taken:
            heapq.heappush(free_s, taken[-1] + video.seconds)
    return rounds_s + max(free_s)
