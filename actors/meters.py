"""The pool's metrics, as Ray's node agents export them to Prometheus.

Ray 2.60 puts `ray_` before a name and `_total` behind a counter's. It keeps of a histogram's values only the buckets
that they fall in, and makes the exported `_sum` from the buckets' middles: with five buckets a decade a mean of it is
right within a quarter, and quantiles are no worse. It forgets a gauge that was not set again in two export intervals
of 10 s (RAY_metrics_report_interval_ms).
"""

from collections import Counter
from collections.abc import Mapping
from typing import cast, get_args

from ray.util import metrics as ray_metrics

from actors.figures import Figures
from actors.job import Cause
from actors.metric import LabelValues, Metric, five_a_decade, show_zero
from actors.status import PoolStatus
from cluster.pab import KINDS
from cluster.plan import Priority

QUEUED = Metric(
    name="pabcast_queued_requests",
    type="gauge",
    description="Requests that wait for a gang, by priority (online, offline) and width (workers).",
    labels=("priority", "width"),
)
GANGS = Metric(
    name="pabcast_gangs",
    type="gauge",
    description="Gangs, by width (workers) and state (busy with a request, idle).",
    labels=("width", "state"),
)
WORKERS = Metric(
    name="pabcast_workers",
    type="gauge",
    description="Workers, by state (starting, loading, free, idle in a gang, busy).",
    labels=("state",),
)
DOMAINS = Metric(
    name="pabcast_domains",
    type="gauge",
    description="Domains (workers of one placement group), by phase and market (any, spot, on_demand).",
    labels=("phase", "market"),
)
VIDEOS = Metric(
    name="pabcast_videos",
    type="counter",
    description="Videos that ended, by outcome (done, failed, cancelled).",
    labels=("outcome",),
    known=(("done",), ("failed",), ("cancelled",)),
)
RETRIES = Metric(
    name="pabcast_retries",
    type="counter",
    description="Videos tried again, by cause (rank, node, drain, forming, pool).",
    labels=("cause",),
    known=tuple((cause,) for cause in get_args(Cause)),
)
RESHAPES = Metric(
    name="pabcast_reshapes",
    type="counter",
    description="Gangs formed out of the workers of others.",
    known=((),),
)
WIDENINGS = Metric(
    name="pabcast_widenings",
    type="counter",
    description="Running videos moved to a wider gang.",
    known=((),),
)
HANDOVERS = Metric(
    name="pabcast_handovers",
    type="counter",
    description="Running videos taken off a draining node.",
    known=((),),
)
RESUMPTIONS = Metric(
    name="pabcast_resumptions",
    type="counter",
    description="Videos that went on from a snapshot on another gang.",
    known=((),),
)
SNAPSHOTS = Metric(
    name="pabcast_snapshots",
    type="counter",
    description="Snapshots of running videos that were kept.",
    known=((),),
)
BUSY_SECONDS = Metric(
    name="pabcast_worker_busy_seconds",
    type="counter",
    description="Seconds with a request on it, summed over the workers.",
    known=((),),
)
GPU_SECONDS = Metric(
    name="pabcast_gpu_seconds",
    type="counter",
    description="Seconds that workers have held their bundles, summed over the workers: what a budget counts.",
    known=((),),
)
BUDGET = Metric(
    name="pabcast_budget_gpu_seconds",
    type="gauge",
    description="The budget that pabcast_gpu_seconds is spent of; not there where there is no limit.",
)
SENT_BYTES = Metric(
    name="pabcast_sent_bytes",
    type="counter",
    description="Bytes that rank 0 of a gang handed to its collectives, by width (workers).",
    labels=("width",),
)
SAVED_BYTES = Metric(
    name="pabcast_saved_bytes",
    type="counter",
    description="Bytes that rank 0 did not hand to collectives as its steps broadcast, by width (workers).",
    labels=("width",),
)
COMPUTED_STEPS = Metric(
    name="pabcast_computed_steps",
    type="counter",
    description="Denoising steps of finished videos that computed a kind of attention, by kind.",
    labels=("kind",),
    known=tuple((kind,) for kind in KINDS),
)
BROADCAST_STEPS = Metric(
    name="pabcast_broadcast_steps",
    type="counter",
    description="Denoising steps of finished videos that broadcast a kind of attention instead, by kind.",
    labels=("kind",),
    known=tuple((kind,) for kind in KINDS),
)
VIDEO_SECONDS = Metric(
    name="pabcast_video_seconds",
    type="histogram",
    description="Seconds of a video on the gang that finished it, by resolution (its short side is at most so many "
    "pixels), width (workers) and priority (online, offline).",
    labels=("resolution", "width", "priority"),
    buckets=five_a_decade(-1, 5),
)
WAIT_SECONDS = Metric(
    name="pabcast_wait_seconds",
    type="histogram",
    description="Seconds that a finished video had waited for its first gang, by priority (online, offline).",
    labels=("priority",),
    buckets=five_a_decade(-2, 6),
)
STEP_SECONDS = Metric(
    name="pabcast_step_seconds",
    type="histogram",
    description="Seconds of a denoising step, the mean of a video's, by width (workers).",
    labels=("width",),
    buckets=five_a_decade(-3, 5),
)
CACHE_PEAK_BYTES = Metric(
    name="pabcast_cache_peak_bytes",
    type="histogram",
    description="Most bytes that a video's broadcast cache held on rank 0, by width (workers).",
    labels=("width",),
    buckets=five_a_decade(6, 5),
)

METRICS: tuple[Metric, ...] = (
    QUEUED,
    GANGS,
    WORKERS,
    DOMAINS,
    VIDEOS,
    RETRIES,
    RESHAPES,
    WIDENINGS,
    HANDOVERS,
    RESUMPTIONS,
    SNAPSHOTS,
    BUSY_SECONDS,
    GPU_SECONDS,
    BUDGET,
    SENT_BYTES,
    SAVED_BYTES,
    COMPUTED_STEPS,
    BROADCAST_STEPS,
    VIDEO_SECONDS,
    WAIT_SECONDS,
    STEP_SECONDS,
    CACHE_PEAK_BYTES,
)
METRIC_NAMES: tuple[str, ...] = tuple(name for metric in METRICS for name in metric.exported)
"""Every name that a scrape may show."""

Readings = Mapping[tuple[Metric, LabelValues], float]


def levels(status: PoolStatus) -> Readings:
    """What the gauges show of a status; what is not in it is zero."""
    counted: Counter[tuple[Metric, LabelValues]] = Counter()
    for line in status.lines:
        counted[QUEUED, (line.priority, str(line.width))] += line.waiting
    for width, busy in status.gangs:
        counted[GANGS, (str(width), "busy")] += busy
        counted[GANGS, (str(width), "idle")] += not busy
    for member in status.members:
        counted[WORKERS, (member.state,)] += 1
    for domain in status.domains:
        counted[DOMAINS, (domain.phase, domain.market)] += 1
    budget = status.budget_gpu_seconds
    return counted if budget is None else {**counted, (BUDGET, ()): budget}


def totals(status: PoolStatus) -> Readings:
    """What the counters have come to in a status."""
    return {
        (VIDEOS, ("done",)): status.done,
        (VIDEOS, ("failed",)): status.failed,
        (VIDEOS, ("cancelled",)): status.cancelled,
        **{(RETRIES, (cause,)): count for cause, count in status.retries.items()},
        (RESHAPES, ()): status.reshaped,
        (WIDENINGS, ()): status.widened,
        (HANDOVERS, ()): status.handed_over,
        (RESUMPTIONS, ()): status.resumed,
        (SNAPSHOTS, ()): status.snapshots,
        (BUSY_SECONDS, ()): status.gang_busy_seconds,
        (GPU_SECONDS, ()): status.gpu_seconds,
    }


class Meters:
    """Tells Ray what a pool does; lives in the pool's process, once."""

    def __init__(self) -> None:
        self._rays = {metric: metric.at_ray() for metric in METRICS}
        self._shown: set[tuple[Metric, LabelValues]] = set()
        self._told: dict[tuple[Metric, LabelValues], float] = {}
        self._widths: set[int] = set()

    def show(self, status: PoolStatus) -> None:
        """Set the gauges to `status` and move the counters on to it; call it every few seconds."""
        now = levels(status)
        self._shown |= now.keys()
        for metric, values in self._shown:
            gauge = cast(ray_metrics.Gauge, self._rays[metric])
            gauge.set(now.get((metric, values), 0), metric.tags(values))
        for key, total in totals(status).items():
            told = self._told.get(key, 0.0)
            self._count(*key, total - told)
            self._told[key] = max(told, total)
        self._begin({width for width, _ in status.gangs})

    def video(
        self, figures: Figures, *, width: int, priority: Priority, resolution: str, seconds: float, waited_s: float
    ) -> None:
        """Add a finished video that was `seconds` on its last gang, one of `width` workers."""
        self._observe(VIDEO_SECONDS, (resolution, str(width), priority), seconds)
        self._observe(WAIT_SECONDS, (priority,), waited_s)
        self._observe(STEP_SECONDS, (str(width),), figures.step_seconds)
        self._observe(CACHE_PEAK_BYTES, (str(width),), figures.cache_peak_bytes)
        self._count(SENT_BYTES, (str(width),), figures.bytes_sent)
        self._count(SAVED_BYTES, (str(width),), figures.bytes_saved)
        for kind, steps in figures.computed.items():
            self._count(COMPUTED_STEPS, (kind,), steps)
        for kind, steps in figures.broadcast.items():
            self._count(BROADCAST_STEPS, (kind,), steps)

    def _begin(self, widths: set[int]) -> None:
        """Export what is counted by width from a width's first gang on, before its first video has ended."""
        for width in widths - self._widths:
            for metric in (SENT_BYTES, SAVED_BYTES):
                show_zero(self._rays[metric], metric.tags((str(width),)))
        self._widths |= widths

    def _count(self, metric: Metric, values: LabelValues, more: float) -> None:
        if more > 0:
            cast(ray_metrics.Counter, self._rays[metric]).inc(more, metric.tags(values))

    def _observe(self, metric: Metric, values: LabelValues, value: float) -> None:
        cast(ray_metrics.Histogram, self._rays[metric]).observe(value, metric.tags(values))
