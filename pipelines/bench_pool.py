"""How well a pool keeps its workers busy: real actors, a real queue and Ray Data; the workers sleep."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import ray
import ray.data

from actors.engine.request import VideoRequest
from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from pipelines.pipeline import BLOCK_BYTES, BLOCKS_AHEAD, CHECK_ROWS, SUBMITTER_WORKERS
from pipelines.prompt_source import PromptSource
from pipelines.prompts import check_input
from pipelines.ray_session import quiet_ray_data
from pipelines.read_gate import ReadGate

SETTLE_S = 3.0
"""From the first video on, until it counts."""


@dataclass(frozen=True, kw_only=True)
class PoolLoad:
    """What one phase asks of a pool."""

    workers: int
    seconds: float
    """That a worker sleeps over a video."""
    requests: int
    """Rows of the prompt file; more than are made while it is measured."""
    measure_s: float


@dataclass(frozen=True, kw_only=True)
class PoolRow:
    """What one phase has measured."""

    load: PoolLoad
    videos: int
    """That ended while it was measured."""
    measured_s: float
    pool_mb: float
    """Resident memory of the pool's process, 10^6 bytes, when it was measured."""
    grown_mb: float
    """By how much that grew meanwhile."""
    rows_read: int
    """Rows that had left the source at the end."""
    rows_made: int

    @property
    def leases_per_s(self) -> float:
        """Videos a second."""
        return self.videos / self.measured_s

    @property
    def busy_fraction(self) -> float:
        """The share of the workers' time that they slept over a video."""
        return self.videos * self.load.seconds / (self.load.workers * self.measured_s)


class Odometer:
    """Counts the rows that were read and made, and when."""

    def __init__(self) -> None:
        self._read = 0
        self._made: list[float] = []

    def read(self, rows: int) -> None:
        """So many rows have left the source."""
        self._read += rows

    def made(self, times: list[float]) -> None:
        """Videos have ended at these times."""
        self._made += times

    def open_samples(self) -> int:
        """What the reader waits for: rows that were read and are not made."""
        return self._read - len(self._made)

    def counts(self) -> tuple[int, list[float]]:
        """Rows read, and when each video ended, on the machine's clock."""
        return self._read, self._made


class Feeder:
    """Submits a row a video, as a job's submitter does."""

    def __init__(self, pool: PoolClient, odometer: Any, flight: int) -> None:
        self._pool = pool
        self._odometer = odometer
        self._slots = asyncio.Semaphore(flight)

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        """Returns when all its rows are made."""
        ended = await asyncio.gather(*(self._make(seed) for seed in range(batch.num_rows)))
        await self._odometer.made.remote(list(ended))
        yield pa.table({"made": [len(ended)]})

    async def _make(self, seed: int) -> float:
        request = VideoRequest(
            prompt="asleep",
            seed=seed,
            height=64,
            width=64,
            num_frames=1,
            steps=10,
            guidance_scale=1.0,
            model="sleeper",
            model_revision="0",
        )
        async with self._slots:
            await self._pool.submit(request, width=1)
        return time.time()


def write_prompts(path: Path, count: int) -> None:
    """A prompt file of so many lines."""
    with path.open("w") as file:
        file.writelines(f"prompt {number}\n" for number in range(count))


def measure_pool(load: PoolLoad, prompts: Path) -> PoolRow:
    """Run one phase over a prompt file in the Ray that this process is connected to."""
    spec = PoolSpec(model="sleeper", workers=load.workers, device="cpu", simulated_s=load.seconds)
    with PoolClient.connect(spec, name="bench-pool") as pool:
        pool.wait_ready(600)
        odometer: Any = ray.remote(Odometer).options(num_cpus=0).remote()
        process = psutil.Process(pool.status().pid)
        outcomes = _rows(load, pool, odometer, prompts).iter_batches(batch_size=None, prefetch_batches=0)
        next(iter(outcomes))
        begun = time.time() + SETTLE_S
        first_mb, last_mb, end = 0.0, 0.0, begun + load.measure_s
        for _ in outcomes:
            last_mb = process.memory_info().rss / 1e6
            first_mb = first_mb or (last_mb if time.time() > begun else 0.0)
            if time.time() > end:
                break
        read, made = ray.get(odometer.counts.remote())
        return PoolRow(
            load=load,
            videos=sum(begun <= when <= end for when in made),
            measured_s=load.measure_s,
            pool_mb=last_mb,
            grown_mb=last_mb - first_mb,
            rows_read=read,
            rows_made=len(made),
        )


def _rows(load: PoolLoad, pool: PoolClient, odometer: Any, prompts: Path) -> Any:
    """The way of a job's rows: a prompt file, its reader, a stage of tasks, submitters."""
    quiet_ray_data()
    found = check_input(str(prompts))
    source = PromptSource(found.store, found.files, found.format, ReadGate(odometer))
    rows = ray.data.read_datasource(source, num_cpus=0, concurrency=1)
    rows.context.target_max_block_size = BLOCK_BYTES

    def count(batch: pa.Table) -> pa.Table:
        odometer.read.remote(batch.num_rows)
        return batch

    feeders = -(-load.workers // SUBMITTER_WORKERS)
    read = rows.map_batches(
        count, batch_size=CHECK_ROWS, batch_format="pyarrow", num_cpus=0, compute=ray.data.TaskPoolStrategy(size=2)
    )
    return read.map_batches(
        Feeder,
        fn_constructor_args=(pool, odometer, -(-(2 * load.workers + 2) // feeders)),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0,
        compute=ray.data.ActorPoolStrategy(
            size=feeders, max_tasks_in_flight_per_actor=BLOCKS_AHEAD, max_concurrent_calls_per_actor=BLOCKS_AHEAD
        ),
    )
