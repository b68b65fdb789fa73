"""The stage of a job that has videos made: pool, mp4, upload, commit. A CPU-only asynchronous Ray Data actor."""

import asyncio
import logging
import pickle
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from actors.engine.request import RunOptions, VideoRequest
from actors.result import VideoResult
from cluster.errors import ClusterError, GangError, PabcastError, RequestError
from pipelines.commits import Commits, CommittedSample, FailureRecord, Uncommittable
from pipelines.desk import RemoteDesk
from pipelines.making import Making
from pipelines.video import encode_mp4
from pipelines.width_policy import WidthPolicy

log = logging.getLogger("pabcast.submitter")

_ASK_EVERY_S = 0.2
_TYPES: dict[str, Any] = {"outcome": pa.string(), "reason": pa.string()}
_PARTS = ("queue", "text", "denoise", "decode", "encode", "upload")
OUTCOMES = pa.schema(_TYPES | dict.fromkeys(_PARTS, pa.float64()))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Seconds that one video spent in each part of its way."""

    queue: float = 0.0
    text: float = 0.0
    denoise: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    upload: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one request; `stop` ends the job."""

    outcome: str
    """committed, failed or stop."""
    reason: str = ""
    parts: Parts = field(default_factory=Parts)

    def row(self) -> dict[str, Any]:
        """It as a row of `OUTCOMES`."""
        return {"outcome": self.outcome, "reason": self.reason, **asdict(self.parts)}


@dataclass(frozen=True, kw_only=True)
class SubmitterSetup:
    """What a submitter needs; it pickles."""

    commits: Commits
    desk: RemoteDesk
    widths: WidthPolicy
    options: RunOptions
    attempts: int
    """How many ranks a video may lose without getting further."""
    flight: int
    """Most videos submitted at once; it also bounds the frames held in memory."""


class Submitter:
    """Has requests made and committed; several are on their way, so encoding and upload overlap the denoise."""

    def __init__(self, setup: SubmitterSetup) -> None:
        self._setup = setup
        self._slots = asyncio.Semaphore(setup.flight)
        self._pool: Any = None
        self._problem = ""

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        """One outcome row for each row (`source`, `request`). Errors are outcomes: none leaves this stage."""
        outcomes = await asyncio.gather(*(self._settle(row["request"], row["source"]) for row in batch.to_pylist()))
        yield pa.Table.from_pylist([outcome.row() for outcome in outcomes], schema=OUTCOMES)

    async def _settle(self, request: bytes, source: str) -> Outcome:
        async with self._slots:
            try:
                return await self._make(pickle.loads(request), source)
            except (PabcastError, OSError) as error:
                # The job cannot go on without its store, its pool or room for a video; what waits here need not try.
                self._problem = self._problem or str(error)
                return Outcome(outcome="stop", reason=self._problem)

    async def _make(self, request: VideoRequest, source: str) -> Outcome:
        if self._problem:
            raise ClusterError(self._problem)
        if await asyncio.to_thread(self._setup.commits.is_committed, request.sample_id):
            # Ray repeats the call of a submitter that died.
            await self._setup.desk.record("committed", source, sample_id=request.sample_id)
            return Outcome(outcome="committed")
        try:
            result = await self._submit(request)
        except (RequestError, GangError) as error:
            return await self._fail(request, source, error)
        making = Making.of(result.report, time.time())
        begun = time.monotonic()
        video = await asyncio.to_thread(encode_mp4, result.frames, request.fps)
        encoded = time.monotonic()
        try:
            await asyncio.to_thread(self._commit, request, source, result, video, making)
        except Uncommittable as error:
            return await self._fail(request, source, error)
        await self._setup.desk.record("committed", source, sample_id=request.sample_id)
        report = result.report
        parts = Parts(
            queue=result.queue_seconds,
            text=report.text_seconds,
            denoise=report.denoise_seconds,
            decode=report.decode_seconds,
            encode=encoded - begun,
            upload=time.monotonic() - encoded,
        )
        return Outcome(outcome="committed", parts=parts)

    async def _submit(self, request: VideoRequest) -> VideoResult:
        """Have it made; the pool tries again when a gang fails."""
        width, seconds = self._setup.widths.offer(request)
        pool = await self._open_pool()
        result: VideoResult = await pool.submit(
            request, width=width, seconds=seconds, attempts=self._setup.attempts, options=self._setup.options
        )
        return result

    async def _open_pool(self) -> Any:
        while self._pool is None and not self._problem:
            self._pool, closed = await self._setup.desk.ask_for_pool()
            if closed:
                raise ClusterError("the job is stopping")
            if self._pool is None:
                await asyncio.sleep(_ASK_EVERY_S)
        if self._problem:
            raise ClusterError(self._problem)
        return self._pool

    def _commit(self, request: VideoRequest, source: str, result: VideoResult, video: bytes, making: Making) -> None:
        sample = CommittedSample.of(
            request, video, source=source, gang_width=result.width, seconds=result.report.seconds, making=making
        )
        self._setup.commits.commit(sample, video)

    async def _fail(self, request: VideoRequest, source: str, error: PabcastError) -> Outcome:
        kind, reason = type(error).__name__, str(error)
        name = request.id or ""
        record = FailureRecord(sample_id=request.sample_id, source=source, reason=reason, kind=kind, id=name)
        await asyncio.to_thread(self._setup.commits.fail, record)
        await self._setup.desk.record("failed", source, sample_id=request.sample_id, id=name, reason=reason, kind=kind)
        return Outcome(outcome="failed", reason=reason)
