"""The clerk's numbers in Prometheus' text format."""

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

JOBS, ENDED, WORKERS = "pabcast_serve_jobs", "pabcast_serve_ended", "pabcast_serve_workers"
METRIC_NAMES = (JOBS, f"{ENDED}_total", WORKERS)
"""Every name that a scrape may show."""


class _Fixed:
    """A collector of metrics that are there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """Them."""
        return self._metrics


def exposition(state: dict[str, Any]) -> str:
    """What `Clerk.state` says."""
    jobs = GaugeMetricFamily(JOBS, "Open jobs by state.", labels=["state"])
    for name in ("waiting", "running"):
        jobs.add_metric([name], state[name])
    ended = CounterMetricFamily(ENDED, "Jobs ended since the clerk started.", labels=["result"])
    for name, count in state["ended"].items():
        ended.add_metric([name], count)
    metrics: list[Metric] = [jobs, ended]
    if (pool := state["pool"]) is not None:
        workers = GaugeMetricFamily(WORKERS, "The pool's workers.")
        workers.add_metric([], pool["workers"])
        metrics.append(workers)
    registry = CollectorRegistry()
    registry.register(_Fixed(metrics))
    return generate_latest(registry).decode()
