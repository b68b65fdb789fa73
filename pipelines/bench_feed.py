"""A long queue of requests for a pool, streamed through Ray Data as the rows of a job are."""

import asyncio
import json
import pickle
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray

from actors.engine.request import VideoRequest
from actors.pool_client import PoolClient
from cluster.errors import PabcastError
from pipelines.checker import WANTED
from pipelines.pipeline import BLOCK_BYTES, BLOCKS_AHEAD, CHECK_ROWS, CHECKERS, NO_CPUS, SUBMITTER_WORKERS
from pipelines.prompt_source import PromptSource
from pipelines.prompts import check_input
from pipelines.ray_session import quiet_ray_data
from pipelines.read_gate import ReadGate

if TYPE_CHECKING:
    from ray.data import Dataset

_PROMPT = "a simulated video, number {}, that nobody sees: its worker sleeps for as long as it would take to make it\n"
_MADE = pa.schema([pa.field("made", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How far a queue is at one moment; `problem` is why a video was not made, if one was not."""

    read: int = 0
    """Rows that were read."""
    made: int = 0
    """Rows that are done with."""
    problem: str = ""

    @property
    def ahead(self) -> int:
        """Rows on their way: what the pipeline holds in memory."""
        return self.read - self.made


class Meter:
    """Counts the rows of one queue."""

    def __init__(self) -> None:
        self._read, self._made, self._problem = 0, 0, ""

    def count_read(self, rows: int) -> None:
        """So many more rows were read."""
        self._read += rows

    def count_made(self, rows: int, problem: str) -> None:
        """So many more rows are done with."""
        self._made += rows
        self._problem = self._problem or problem

    def open_samples(self) -> int:
        """What the reader waits for."""
        return self._read - self._made

    def look(self) -> Reading:
        """Where the queue stands."""
        return Reading(read=self._read, made=self._made, problem=self._problem)


RemoteMeter: Any = ray.remote(num_cpus=0)(Meter)


class Feeder:
    """Has the requests of a queue made by a pool, and throws the videos away: a submitter without a store."""

    def __init__(self, pool: PoolClient, meter: Any, flight: int) -> None:
        self._pool = pool
        self._meter = meter
        self._slots = asyncio.Semaphore(flight)

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        """The number of rows made, for a batch of them (`source`, `request`)."""
        problems = await asyncio.gather(*(self._make(row["request"]) for row in batch.to_pylist()))
        self._meter.count_made.remote(len(problems), next(filter(None, problems), ""))
        yield pa.Table.from_pydict({"made": [len(problems)]}, schema=_MADE)

    async def _make(self, request: bytes) -> str:
        async with self._slots:
            try:
                await self._pool.submit(pickle.loads(request))
            except PabcastError as error:
                return str(error)
        return ""


def write_prompts(file: Path, rows: int) -> None:
    """A prompt file of so many lines."""
    with file.open("w") as stream:
        stream.writelines(_PROMPT.format(number) for number in range(rows))


def feed(pool: PoolClient, meter: Any, prompts: Path, workers: int) -> "Dataset":
    """The videos of a prompt file, lazily, through the stages that a job's rows go through."""
    quiet_ray_data()
    processes = -(-workers // SUBMITTER_WORKERS)
    found = check_input(str(prompts))
    source = PromptSource(found.store, found.files, found.format, ReadGate(meter))
    rows = ray.data.read_datasource(source, num_cpus=NO_CPUS, concurrency=1)
    rows.context.target_max_block_size = BLOCK_BYTES
    # Its stubs know no functions of arrow tables.
    checked: Any = partial(_to_requests, meter=meter)
    wanted = rows.map_batches(
        checked,
        batch_size=CHECK_ROWS,
        batch_format="pyarrow",
        num_cpus=NO_CPUS,
        compute=ray.data.TaskPoolStrategy(size=CHECKERS),
    )
    made: Dataset = wanted.map_batches(
        Feeder,
        fn_constructor_args=(pool, meter, -(-(2 * workers + 2) // processes)),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=NO_CPUS,
        compute=ray.data.ActorPoolStrategy(
            size=processes, max_tasks_in_flight_per_actor=BLOCKS_AHEAD, max_concurrent_calls_per_actor=BLOCKS_AHEAD
        ),
    )
    return made


def _to_requests(table: pa.Table, meter: Any) -> pa.Table:
    meter.count_read.remote(table.num_rows)
    rows = table.to_pylist()
    requests = [
        VideoRequest(
            **json.loads(row["fields"]),
            height=64,
            width=64,
            num_frames=1,
            steps=10,
            guidance_scale=1.0,
            model="simulated",
            model_revision="simulated",
        )
        for row in rows
    ]
    columns = {"source": [row["source"] for row in rows], "request": [pickle.dumps(request) for request in requests]}
    return pa.Table.from_pydict(columns, schema=WANTED)
