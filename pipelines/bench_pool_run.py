"""How `pabcast bench pool` measures: queues pulled through a pool of simulated workers, and left in the middle."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import ray

from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from cluster.errors import ClusterError
from pipelines.bench_feed import Reading, RemoteMeter, feed, write_prompts
from pipelines.bench_pool import WARM_UP_VIDEOS, Measured, Moment, Phase, PoolBench
from pipelines.config import ClusterConfig
from pipelines.ray_session import ray_session

READY_TIMEOUT_S = 900.0
WARM_UP_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
LOOK_EVERY_S = 1.0
_QUIET_RAY = {
    # What Ray tells its dashboard, which does not run here, costs as much as the videos: a tenth of a core for every
    # dozen idle workers, and a quarter of each lease.
    "RAY_task_events_report_interval_ms": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_event_stats": "0",
}
_PROCESSES = {"pool": "Pool", "keeper": "Keeper", "submitters": "MapWorker(MapBatches(Feeder))"}
"""Whose memory is told, and what Ray calls their actors."""


def measure_pool(bench: PoolBench, advance: Callable[[], None]) -> Measured:
    """Measure on a local Ray; `advance` hears of every second that is measured.

    Raises:
        ClusterError: the workers do not start, or their videos are not made.
    """
    with _quiet_ray(), ray_session(ClusterConfig(workers=bench.workers, device="cpu")):
        begun = time.monotonic()
        with _pool(bench.workers, bench.seconds) as pool:
            start_s = time.monotonic() - begun
            measure = _Measure(pool, bench, bench.seconds, advance)
            long = measure.phase(bench.queue)
            worker_mb = _mean_worker_mb(pool)
            short = measure.phase(bench.short_queue)
        with _pool(bench.workers, 0.0) as pool:
            rate = _Measure(pool, bench, 0.0, advance).phase(bench.rate_queue)
    return Measured(long=long, short=short, rate=rate, start_s=start_s, worker_mb=worker_mb)


class _Measure:
    """Runs queues through one pool."""

    def __init__(self, pool: PoolClient, bench: PoolBench, seconds: float, advance: Callable[[], None]) -> None:
        self._pool = pool
        self._bench = bench
        self._seconds = seconds
        self._advance = advance

    def phase(self, queue: int) -> Phase:
        """The steady state of a queue of so many rows; afterwards the pool is empty again."""
        with TemporaryDirectory() as folder, self._draining(Path(folder) / "prompts.txt", queue) as drain:
            self._warm_up(drain)
            begin, most_ahead = self._moment(), drain.look().ahead
            for _ in range(math.ceil(self._bench.measure / LOOK_EVERY_S)):
                time.sleep(max(0.0, min(LOOK_EVERY_S, begin.at_s + self._bench.measure - time.monotonic())))
                most_ahead = max(most_ahead, drain.look().ahead)
                self._advance()
            end = self._moment()
        self._wait_until_empty()
        return Phase(
            workers=self._bench.workers,
            seconds=self._seconds,
            queue=queue,
            begin=begin,
            end=end,
            most_ahead=most_ahead,
        )

    @contextmanager
    def _draining(self, prompts: Path, rows: int) -> "Iterator[_Drain]":
        write_prompts(prompts, rows)
        meter = RemoteMeter.remote()
        drain = _Drain(feed(self._pool, meter, prompts, self._bench.workers), meter)
        drain.start()
        try:
            yield drain
        finally:
            drain.over.set()
            drain.join(STOP_TIMEOUT_S)

    def _warm_up(self, drain: "_Drain") -> None:
        enough = self._pool.status().done + WARM_UP_VIDEOS * self._bench.workers
        deadline = time.monotonic() + WARM_UP_TIMEOUT_S
        while (done := self._pool.status().done) < enough:
            drain.look()
            if time.monotonic() > deadline:
                raise ClusterError(f"{enough - done} videos of the warm-up are not made after {WARM_UP_TIMEOUT_S:g} s")
            time.sleep(LOOK_EVERY_S / 4)

    def _moment(self) -> Moment:
        memory_mb = _memory_mb()
        status = self._pool.status()
        return Moment(at_s=time.monotonic(), done=status.done, busy_s=status.gang_busy_seconds, memory_mb=memory_mb)

    def _wait_until_empty(self) -> None:
        """The requests of submitters that are gone run to their ends."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while (status := self._pool.status()).queued or status.busy_gangs:
            if time.monotonic() > deadline:
                raise ClusterError(f"{status.queued} requests wait {STOP_TIMEOUT_S:g} s after their queue was left")
            time.sleep(LOOK_EVERY_S / 4)


class _Drain(threading.Thread):
    """Pulls a queue through the pipeline until `over` is set."""

    def __init__(self, dataset: Any, meter: Any) -> None:
        super().__init__(name="bench-drain", daemon=True)
        self._dataset = dataset
        self._meter = meter
        self._problem = ""
        self.over = threading.Event()

    def run(self) -> None:
        """The thread's work."""
        try:
            for _ in self._dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                if self.over.is_set():
                    return
            self._problem = "its queue came to an end"
        except Exception as error:
            self._problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"

    def look(self) -> Reading:
        """Where the queue stands; `ClusterError` if it goes no further."""
        reading: Reading = ray.get(self._meter.look.remote())
        if problem := self._problem or reading.problem:
            raise ClusterError(f"the pool could not be measured: {problem}")
        return reading


@contextmanager
def _quiet_ray() -> Iterator[None]:
    """A Ray started inside the `with` is quiet, unless the environment says otherwise."""
    added = {name: value for name, value in _QUIET_RAY.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _pool(workers: int, seconds: float) -> Iterator[PoolClient]:
    spec = PoolSpec(model="simulated", workers=workers, device="cpu", simulated_s=seconds)
    with PoolClient.connect(spec, name="pabcast-bench") as pool:
        pool.wait_ready(READY_TIMEOUT_S)
        yield pool


def _memory_mb() -> Mapping[str, float]:
    # Ray's public question for the process of an actor needs the dashboard.
    actors: Any = ray._private.state.actors(actor_state_name="ALIVE")
    pids: dict[str, list[int]] = {"driver": [os.getpid()], **{role: [] for role in _PROCESSES}}
    for role, name in _PROCESSES.items():
        pids[role] += [actor["Pid"] for actor in actors.values() if actor["ActorClassName"] == name]
    return {role: sum(_resident_mb(pid) for pid in of) for role, of in pids.items()}


def _mean_worker_mb(pool: PoolClient) -> float:
    sizes = [_resident_mb(member.pid) for member in pool.status().members]
    return sum(sizes) / len(sizes)


def _resident_mb(pid: int) -> float:
    size: int = psutil.Process(pid).memory_info().rss
    return size / 1e6
