"""How wide a gang a video deserves (design, decision 5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cluster.calibration import Calibration
from cluster.cost import Cost, predict
from cluster.errors import RequestError
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from cluster.workload import Workload

HEADROOM = 0.92
"""Share of a GPU's memory that a plan may use; the rest is the allocator's and the driver's."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What widths are chosen for."""

    latency_s: float | None = None
    """Online: a video in so many seconds, by as few GPUs as do it. None, offline: the most videos a GPU-hour."""
    videos_left: int | None = None
    """Offline, at the end of a job: how many videos are left, for wider gangs when they are few."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What gangs are made of."""

    workers: int
    """How many there are; a gang is at most so wide."""
    memory_bytes: int
    """Of each."""

    @property
    def usable_bytes(self) -> int:
        """What a plan may use of it."""
        return int(HEADROOM * self.memory_bytes)


@dataclass(frozen=True, kw_only=True)
class WidthDecision:
    """A width, why, and why not the others."""

    width: int
    reason: str
    rejected: Mapping[int, str]
    cost: Cost
    seconds: Mapping[int, float] = field(default_factory=dict)
    """Predicted at every width that fits."""


def choose_width(workload: Workload, capacity: Capacity, calibration: Calibration, goal: Goal) -> WidthDecision:
    """Choose for `goal` among the widths that the model allows, that there are workers for, and that fit in memory.

    Raises:
        RequestError: no width fits; says what it would take and what would fit.
    """
    legal = [width for width in workload.gang_widths if width <= capacity.workers]
    costs = {width: predict(workload, width, calibration) for width in legal}
    rejected = {
        width: f"needs {_gb(cost.peak_bytes)} of {_gb(capacity.usable_bytes)} a GPU"
        for width, cost in costs.items()
        if cost.peak_bytes > capacity.usable_bytes
    }
    fitting = [cost for width, cost in costs.items() if width not in rejected]
    if not fitting:
        raise RequestError(_refusal(workload, capacity, costs[legal[-1]]))
    if goal.latency_s is not None:
        chosen, reason = _for_latency(fitting, goal.latency_s)
    else:
        chosen, reason = _for_throughput(fitting, capacity.workers, goal.videos_left)
    if any(width < chosen.width for width in rejected):
        reason += "; narrower ones do not fit in memory"
    others = {cost.width: _why_not(cost, chosen, goal) for cost in fitting if cost.width != chosen.width}
    seconds = {cost.width: cost.seconds for cost in fitting}
    return WidthDecision(
        width=chosen.width, reason=reason, rejected={**rejected, **others}, cost=chosen, seconds=seconds
    )


def check_memory(workload: Workload, width: int, capacity: Capacity) -> None:
    """Raise `RequestError` with the arithmetic if a gang of `width` cannot hold such a video."""
    needed, legal = workload.peak_bytes(width), workload.gang_widths
    if needed <= capacity.usable_bytes:
        return
    enough = next((wider for wider in legal if workload.peak_bytes(wider) <= capacity.usable_bytes), None)
    if enough is not None:
        way = f"a gang of {enough} would do"
    else:
        way = f"no gang does; what would fit {width}: {_what_would_fit(workload, capacity, width)}"
    raise RequestError(
        f"{workload.shape} needs {_gb(needed)} a GPU on a gang of {width}, and {_gb(capacity.usable_bytes)} can be "
        f"used; {way}"
    )


def _for_latency(fitting: list[Cost], latency_s: float) -> tuple[Cost, str]:
    """The narrowest that is fast enough, or the fastest there is."""
    enough = next((cost for cost in fitting if cost.seconds <= latency_s), None)
    if enough is not None:
        return enough, f"the narrowest that meets {latency_s:g} s: {enough.seconds:.1f} s"
    fastest = min(fitting, key=lambda cost: cost.seconds)
    return fastest, f"the fastest there is, {fastest.seconds:.1f} s; none meets {latency_s:g} s"


def _for_throughput(fitting: list[Cost], workers: int, left: int | None) -> tuple[Cost, str]:
    """The most videos a GPU-hour, idle rests counted; at the tail as wide as the workers allow, if that ends sooner."""
    cheapest = min(fitting, key=lambda cost: _occupied(cost, workers))
    if left is not None and 0 < left < workers // cheapest.width:
        share = workers // left
        wider = min((cost for cost in fitting if cost.width <= share), key=lambda cost: cost.seconds)
        if wider.seconds < cheapest.seconds:
            return (
                wider,
                f"{left} left for {workers} workers: {wider.seconds:.1f} s instead of {cheapest.seconds:.1f} s",
            )
    return cheapest, f"the most videos a GPU-hour: {cheapest.gpu_seconds:.1f} GPU-seconds each"


def _occupied(cost: Cost, workers: int) -> float:
    """GPU-seconds a video, with its share of the workers that gangs of this width leave over."""
    return cost.seconds * workers / (workers // cost.width)


def _why_not(cost: Cost, chosen: Cost, goal: Goal) -> str:
    if goal.latency_s is not None and cost.seconds > goal.latency_s:
        return f"takes {cost.seconds:.1f} s"
    if goal.latency_s is not None and cost.width > chosen.width:
        return f"{chosen.width} suffice"
    return f"takes {cost.gpu_seconds:.1f} GPU-seconds, {cost.gpu_seconds / chosen.gpu_seconds:.2f} times as many"


def _refusal(workload: Workload, capacity: Capacity, widest: Cost) -> str:
    """A wider gang needs no more memory a GPU: if the widest does not hold it, none does."""
    out = _what_would_fit(workload, capacity, widest.width)
    return (
        f"{workload.shape} needs {_gb(widest.peak_bytes)} a GPU on a gang of {widest.width}, the widest there is, "
        f"and {_gb(capacity.usable_bytes)} can be used; what would fit: {out}"
    )


def _what_would_fit(workload: Workload, capacity: Capacity, width: int) -> str:
    ways = (_uncached, _smaller, _shorter)
    return " or ".join(text for way in ways if (text := way(workload, capacity, width))) or "nothing of this shape does"


def _uncached(workload: Workload, capacity: Capacity, width: int) -> str:
    """The same video without PAB's cache, if only that is too much."""
    cache = workload.forecast(width).cache_bytes
    off = replace(workload, schedule=BroadcastSchedule.build(PabConfig(), workload.schedule.timesteps))
    if not cache or off.peak_bytes(width) > capacity.usable_bytes:
        return ""
    return f"pab=off or a pab.cache_budget_gb (PAB's cache is {_gb(cache)} of it)"


def _smaller(workload: Workload, capacity: Capacity, width: int) -> str:
    """The largest frame of about the same aspect that fits with as many frames."""
    numbers, shape = workload.numbers, workload.shape
    for percent in range(95, 4, -5):
        edges = [
            max(edge * percent // 100 // numbers.edge_multiple * numbers.edge_multiple, numbers.min_edge)
            for edge in (shape.height, shape.width)
        ]
        smaller = Shape(height=edges[0], width=edges[1], num_frames=shape.num_frames)
        if _fits(workload, smaller, capacity, width):
            return f"{smaller.width}x{smaller.height} with {shape.num_frames} frames"
    return ""


def _shorter(workload: Workload, capacity: Capacity, width: int) -> str:
    """The most frames that fit at the same size, where the model can make fewer."""
    numbers, shape = workload.numbers, workload.shape
    if numbers.max_frames is None:
        return ""
    group, lone = numbers.vae.frame_group, numbers.vae.lone_frames
    low, high = 0, (shape.num_frames - lone) // group
    while low < high:
        middle = (low + high + 1) // 2
        fits = _fits(workload, replace(shape, num_frames=lone + middle * group), capacity, width)
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"{lone + low * group} frames of {shape.width}x{shape.height}" if low else ""


def _fits(workload: Workload, shape: Shape, capacity: Capacity, width: int) -> bool:
    """Whether a gang of `width` or fewer holds such a video."""
    other = replace(workload, shape=shape)
    legal = reversed([legal for legal in other.gang_widths if legal <= width])
    return any(other.peak_bytes(width) <= capacity.usable_bytes for width in legal)


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
