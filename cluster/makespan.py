"""How long workers take for a set of videos."""

import heapq
from bisect import insort
from collections.abc import Iterable, Sequence
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


def makespan(batches: Iterable[Batch], domains: Sequence[int]) -> float:
    """Seconds until all are made by list scheduling, the longest videos first; `domains` are numbers of workers.

    A gang is within one domain, so each width must fit one of them. A kind's full rounds, in which every gang has a
    video, take their time on all workers; the last few of each kind and what is left over are dealt out one by one to
    the workers that are free first (Graham, Bounds on Multiprocessing Timing Anomalies, 1969), so a gang waits for the
    last of its workers.
    """
    rounds_s, rest = 0.0, []
    for batch in batches:
        gangs = sum(workers // batch.width for workers in domains)
        full = max(0, batch.videos // gangs - _DEALT_ROUNDS)
        rounds_s += full * batch.seconds
        rest += [batch] * (batch.videos - full * gangs)
    hands = _Hands(domains)
    for video in sorted(rest, key=lambda batch: batch.seconds, reverse=True):
        hands.deal(video)
    return rounds_s + hands.end_s


class _Hands:
    """When each worker of each domain is free."""

    def __init__(self, domains: Sequence[int]) -> None:
        self._free_s = [[0.0] * workers for workers in domains]
        self._soonest: dict[int, list[tuple[float, int]]] = {}
        """By width: a heap of domains by when so many workers are free there, or were when it was last looked at."""

    @property
    def end_s(self) -> float:
        """When the last one is free."""
        return max((free_s[-1] for free_s in self._free_s if free_s), default=0.0)

    def deal(self, video: Batch) -> None:
        """Give a video to the domain that has a gang for it first."""
        width = video.width
        heap = self._soonest.get(width)
        if heap is None:
            able = (index for index, free_s in enumerate(self._free_s) if len(free_s) >= width)
            heap = self._soonest[width] = [(0.0, index) for index in able]
        # Workers are free later and later, so whoever is still first when looked at again is first.
        while heap[0][0] < (at := self._free_s[heap[0][1]][width - 1]):
            heapq.heapreplace(heap, (at, heap[0][1]))
        begin_s, index = heap[0]
        free_s = self._free_s[index]
        del free_s[:width]
        for _ in range(width):
            insort(free_s, begin_s + video.seconds)
