"""What a pool's metrics say, read back the way Prometheus reads them."""

import dataclasses
import re
import time
import urllib.request

import pytest
import ray

from actors.figures import Figures
from actors.meters import (
    BUDGET,
    BUSY_SECONDS,
    DOMAINS,
    GANGS,
    METRIC_NAMES,
    METRICS,
    QUEUED,
    RESHAPES,
    RETRIES,
    VIDEOS,
    WORKERS,
    Meters,
    levels,
    totals,
)
from actors.status import DomainStatus, LineStatus, MemberStatus
from cluster.pab import KINDS
from tests.pool_status import QUIET

SCRAPE_TIMEOUT_S = 60.0
"""For a second's interval on a machine with much else to do."""

Scrape = dict[str, dict[tuple[tuple[str, str], ...], float]]


def member(index: int, state: str) -> MemberStatus:
    return MemberStatus(index=index, domain=0, node="n", pid=index, state=state)


FIRST = dataclasses.replace(
    QUIET,
    gangs=((2, True), (1, True), (1, False)),
    lines=(
        LineStatus(priority="online", width=2, waiting=1),
        LineStatus(priority="offline", width=1, waiting=4),
    ),
    domains=(
        DomainStatus(name=0, workers=4, phase="ready", market="any"),
        DomainStatus(name=1, workers=4, phase="pending", market="spot"),
    ),
    done=3,
    failed=1,
    resumed=1,
    reshaped=2,
    snapshots=7,
    retries={"rank": 2},
    gang_busy_seconds=10.0,
    gpu_seconds=40.0,
    budget_gpu_seconds=3600.0,
    members=(member(0, "busy"), member(1, "busy"), member(2, "busy"), member(3, "idle")),
)
LATER = dataclasses.replace(
    FIRST,
    gangs=((2, False),),
    lines=(LineStatus(priority="offline", width=1, waiting=2),),
    domains=(DomainStatus(name=0, workers=4, phase="ready", market="any"),),
    done=5,
    retries={"rank": 2, "drain": 1},
    gang_busy_seconds=12.5,
    members=(member(0, "idle"), member(1, "idle"), member(2, "free"), member(3, "free")),
)


def test_names_follow_prometheus() -> None:
    assert len(set(METRIC_NAMES)) == len(METRIC_NAMES)
    for metric in METRICS:
        assert re.fullmatch(r"pabcast_[a-z_]+", metric.name)
        assert metric.description.endswith(".")
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert (metric.type == "histogram") == bool(metric.buckets)
        assert all(len(values) == len(metric.labels) for values in metric.known)
        assert all(label in metric.description for label in metric.labels)
    assert "ray_pabcast_videos_total" in METRIC_NAMES
    assert {"ray_pabcast_video_seconds_bucket", "ray_pabcast_video_seconds_sum"} <= set(METRIC_NAMES)


def test_buckets_rise_five_a_decade() -> None:
    for metric in METRICS:
        pairs = list(zip(metric.buckets, metric.buckets[1:], strict=False))
        assert all(1.5 < above / below < 1.7 for below, above in pairs)


def test_the_gauges_count_lines_gangs_workers_and_domains() -> None:
    assert levels(FIRST) == {
        (QUEUED, ("online", "2")): 1,
        (QUEUED, ("offline", "1")): 4,
        (GANGS, ("2", "busy")): 1,
        (GANGS, ("2", "idle")): 0,
        (GANGS, ("1", "busy")): 1,
        (GANGS, ("1", "idle")): 1,
        (WORKERS, ("busy",)): 3,
        (WORKERS, ("idle",)): 1,
        (DOMAINS, ("ready", "any")): 1,
        (DOMAINS, ("pending", "spot")): 1,
        (BUDGET, ()): 3600,
    }


def test_without_a_budget_none_is_shown() -> None:
    assert BUDGET not in {metric for metric, _ in levels(dataclasses.replace(FIRST, budget_gpu_seconds=None))}


def test_the_counters_follow_the_counts_of_the_status() -> None:
    assert totals(LATER)[VIDEOS, ("done",)] == 5
    assert totals(LATER)[RETRIES, ("drain",)] == 1
    assert totals(LATER)[RESHAPES, ()] == 2
    assert totals(LATER)[BUSY_SECONDS, ()] == 12.5


@pytest.fixture(scope="module")
def scraped(ray_session: None) -> Scrape:
    """What the node's agent exports of an actor that showed two statuses and two videos."""

    figures = Figures(
        step_seconds=0.2,
        bytes_sent=1000,
        bytes_saved=700,
        cache_peak_bytes=5_000_000,
        computed={"spatial": 9, "mlp": 0},
        broadcast={"spatial": 3, "mlp": 12},
    )

    @ray.remote(num_cpus=0, runtime_env={"env_vars": {"RAY_metrics_report_interval_ms": "1000"}})
    class Pool:
        def __init__(self) -> None:
            self.meters = Meters()
            for seconds in (20.0, 30.0):
                self.meters.video(figures, width=2, priority="online", resolution="480p", seconds=seconds, waited_s=0.5)
            self.meters.show(FIRST)

        def show(self) -> str:
            self.meters.show(LATER)
            return str(ray.get_runtime_context().get_worker_id())

    pool = Pool.remote()
    begun = time.monotonic()
    while lacking := set(METRIC_NAMES) - scrape(ray.get(pool.show.remote())).keys():
        assert time.monotonic() - begun < SCRAPE_TIMEOUT_S, lacking
        time.sleep(0.2)
    # The agent may have been in the midst of an export.
    time.sleep(0.5)
    scraped = scrape(ray.get(pool.show.remote()))
    ray.kill(pool)
    return scraped


def scrape(worker: str) -> Scrape:
    """The samples of one worker process, by name and by pabcast's labels; empty if the agent does not answer."""
    node = next(node for node in ray.nodes() if node["Alive"])
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    ours = {label for metric in METRICS for label in metric.labels} | {"le"}
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    samples: Scrape = {}
    for line in lines:
        if line.startswith("ray_pabcast_") and f'WorkerId="{worker}"' in line:
            name, rest = line.split("{", 1)
            found, value = rest.rsplit("} ", 1)
            told = {label: value for label, value in re.findall(r'(\w+)="([^"]*)"', found) if label in ours}
            samples.setdefault(name, {})[labels(**told)] = float(value)
    return samples


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


def test_every_exported_name_is_in_the_table_and_every_name_of_the_table_is_exported(scraped: Scrape) -> None:
    assert scraped.keys() == set(METRIC_NAMES)


def test_a_line_that_vanished_is_shown_as_empty(scraped: Scrape) -> None:
    assert scraped["ray_pabcast_queued_requests"] == {
        labels(priority="online", width="2"): 0,
        labels(priority="offline", width="1"): 2,
    }
    assert scraped["ray_pabcast_gangs"] == {
        labels(width="2", state="busy"): 0,
        labels(width="2", state="idle"): 1,
        labels(width="1", state="busy"): 0,
        labels(width="1", state="idle"): 0,
    }
    assert scraped["ray_pabcast_workers"] == {labels(state="busy"): 0, labels(state="idle"): 2, labels(state="free"): 2}
    assert scraped["ray_pabcast_domains"][labels(phase="pending", market="spot")] == 0


def test_counters_are_the_pools_and_are_there_before_the_first_event(scraped: Scrape) -> None:
    outcomes = {labels(outcome="done"): 5, labels(outcome="failed"): 1, labels(outcome="cancelled"): 0}
    assert scraped["ray_pabcast_videos_total"] == outcomes
    assert scraped["ray_pabcast_retries_total"] == {
        labels(cause=cause): count
        for cause, count in {"rank": 2, "drain": 1, "node": 0, "forming": 0, "pool": 0}.items()
    }
    assert scraped["ray_pabcast_handovers_total"] == {(): 0}
    assert scraped["ray_pabcast_worker_busy_seconds_total"] == {(): 12.5}
    assert scraped["ray_pabcast_gpu_seconds_total"] == {(): 40}


def test_a_video_is_seen_by_width_and_class(scraped: Scrape) -> None:
    seconds = scraped["ray_pabcast_video_seconds_bucket"]
    told = {"resolution": "480p", "width": "2", "priority": "online"}
    assert [seconds[labels(le=le, **told)] for le in ("16.0", "25.0", "40.0", "+Inf")] == [0, 1, 2, 2]
    # Ray makes the sum from the middles of the buckets 16–25 and 25–40, not from 20 and 30.
    assert scraped["ray_pabcast_video_seconds_sum"][labels(**told)] == 20.5 + 32.5
    assert scraped["ray_pabcast_step_seconds_count"] == {labels(width="2"): 2}
    assert scraped["ray_pabcast_cache_peak_bytes_count"] == {labels(width="2"): 2}
    assert scraped["ray_pabcast_wait_seconds_count"] == {labels(priority="online"): 2}


def test_bytes_and_steps_are_told_of_every_width_with_a_gang_and_of_every_kind(scraped: Scrape) -> None:
    assert scraped["ray_pabcast_sent_bytes_total"] == {labels(width="1"): 0, labels(width="2"): 2000}
    assert scraped["ray_pabcast_saved_bytes_total"] == {labels(width="1"): 0, labels(width="2"): 1400}
    none = {labels(kind=kind): 0 for kind in KINDS}
    assert scraped["ray_pabcast_computed_steps_total"] == none | {labels(kind="spatial"): 18}
    assert scraped["ray_pabcast_broadcast_steps_total"] == none | {labels(kind="spatial"): 6, labels(kind="mlp"): 24}
