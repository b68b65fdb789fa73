"""What the exchanges of a gang of this machine's processes take, over gloo."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import torch
import torch.distributed as dist

from actors.engine.collectives import Collectives
from actors.engine.engine import Engine
from actors.engine.local_gang import run_gang
from actors.engine.sequence import FrameParallel
from actors.engine.stopwatch import Exchange, Stopwatch
from cluster.shape import Shape

_SIZES = (1 << 20, 1 << 22)
"""Bytes that a rank hands to one exchange, for the slope."""
_ROUNDS = 12
_TURNS = 5


@dataclass(frozen=True, kw_only=True)
class Link:
    """A line through the times of exchanges."""

    latency_s: float
    """Beside what the bytes take: waiting for the slower rank and being woken are in it."""
    bytes_per_s: float
    """Of what leaves the rank: half of what it hands over, as there are two; packing and joining are its own work."""


@dataclass(frozen=True, kw_only=True)
class _Measured:
    slope_s: list[float]
    """One exchange of each of `_SIZES`, nothing between them."""
    steps: list[Exchange]
    """Those of a step of each shape."""


def measure_link(engine: Engine, shapes: Sequence[Shape]) -> Link:
    """Time the exchanges of two processes with the model of `engine`.

    Exchange after exchange, bare, shows what a byte takes. What an exchange takes beside is measured where it
    happens, in the steps of `shapes`: a rank that has just computed finds the other a little earlier or later, its
    core asleep and its caches full of other things, which a loop of exchanges never does (on two cores, 1 to 2
    milliseconds against 0.2).
    """
    measured = run_gang(engine, 2, partial(_measure, shapes=tuple(shapes)))
    (small, large), (fast, slow) = _SIZES, measured.slope_s
    bytes_per_s = (large - small) / 2 / max(slow - fast, 1e-9)
    rest = [exchange.seconds - exchange.bytes / 2 / bytes_per_s for exchange in measured.steps]
    return Link(latency_s=max(fmean(rest), 0.0), bytes_per_s=bytes_per_s)


def _measure(engine: Engine, group: dist.ProcessGroup, shapes: Sequence[Shape]) -> _Measured:
    stopwatch = Stopwatch(engine, repeats=_TURNS)
    return _Measured(
        slope_s=[_bare(size, group) for size in _SIZES],
        steps=[stopwatch.exchange(shape, group) for shape in shapes],
    )


def _bare(size: int, group: dist.ProcessGroup) -> float:
    """Seconds of one exchange of `size` bytes, there and back taken together, the best of a dozen.

    What a rank alone takes to pack and to join is taken off.
    """
    frames, hidden = 16, 256
    patches = size // (frames // 2 * hidden * 4)
    gang, lone = (FrameParallel(frames, patches, each) for each in (Collectives(group), Collectives.lone(2)))
    x_BtSD = torch.ones(1, frames // 2, patches, hidden)
    taken: dict[FrameParallel, list[float]] = {gang: [], lone: []}
    for _ in range(_ROUNDS):
        for parallel, seconds in taken.items():
            dist.barrier(group)
            begun = time.perf_counter()
            parallel.to_frames(parallel.to_patches(x_BtSD))
            seconds.append((time.perf_counter() - begun) / 2)
    return min(taken[gang]) - min(taken[lone])
