"""The making of one accepted video: by the pool, as often as that takes, into the store."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from actors.glimpse import Glimpse
from actors.result import VideoResult
from cluster.errors import Cancelled, ClusterError, GangError, RequestError, StoreError
from pipelines.serving.colours import LatentColours
from pipelines.serving.config import ServeConfig
from pipelines.serving.job import Outcome, VideoJob
from pipelines.serving.jobs import Variant, VideoJobs
from pipelines.serving.pictures import preview, spritesheet, thumbnail
from pipelines.serving.pool_hold import RETRY_S, PoolHold
from pipelines.serving.queue import Entry
from pipelines.video import encode_mp4
from pipelines.width_policy import WidthPolicy

log = logging.getLogger("pabcast.clerk")

PROGRESS_S = 0.05
"""Between two looks at a running video: somebody watches its steps."""
T = TypeVar("T")


class Maker:
    """Has videos made; all of it on the clerk's event loop."""

    def __init__(self, config: ServeConfig, pool: PoolHold, jobs: VideoJobs, widths: WidthPolicy) -> None:
        self._config = config
        self._pool = pool
        self._jobs = jobs
        self._widths = widths
        self._colours = LatentColours()

    async def make(self, entry: Entry) -> Outcome:
        """Have a job made and kept; returns once the store has its outcome."""
        outcome: Outcome | None = None
        while outcome is None:
            outcome = await self._try(entry)
        return outcome

    async def fail(self, job: VideoJob, code: str, message: str) -> Outcome:
        """Keep that a job has failed, and why."""
        outcome = Outcome(result="failed", at=time.time(), code=code, message=message)
        await patiently(lambda: self._jobs.end(job, outcome), "an outcome cannot be written")
        return outcome

    async def _try(self, entry: Entry) -> Outcome | None:
        """One attempt; None if the pool or the store failed, and it is to be tried again."""
        job = entry.job
        try:
            result = await self._submit_in_time(entry)
            if result is None:
                return await self.fail(job, "deadline_exceeded", self._how_late(entry))
            outcome = Outcome(result="completed", at=time.time(), gang=result.width, seconds=result.report.seconds)
            content = await asyncio.to_thread(_content, result, job.request.fps)
            await asyncio.to_thread(self._jobs.complete, job, content, outcome)
            if result.latents is not None:
                self._colours.learn(result.latents, result.frames)
        except RequestError as error:
            return await self.fail(job, "request_error", str(error))
        except GangError as error:
            return await self.fail(job, "internal_error", str(error))
        except (ClusterError, StoreError, Cancelled) as error:
            log.warning("%s is tried again in %g s: %s", job.id, RETRY_S, error)
            entry.step = None
            if isinstance(error, ClusterError | Cancelled):
                await self._pool.drop()
            await asyncio.sleep(RETRY_S)
            return None
        return outcome

    async def _submit_in_time(self, entry: Entry) -> VideoResult | None:
        """The video; None if it has no gang by the time at which it would have to begin."""
        limit = asyncio.timeout(self._may_wait_s(entry))

        def hear(step: int) -> None:
            if entry.step is None and not limit.expired():
                limit.reschedule(None)
            entry.step = step

        try:
            async with limit:
                return await self._submit(entry, hear)
        except TimeoutError:
            if limit.expired():
                return None
            raise

    async def _submit(self, entry: Entry, hear: Callable[[int], None]) -> VideoResult:
        pool = await self._pool.get()
        request = entry.job.request
        width, seconds = self._widths.offer(request)

        def see(glimpse: Glimpse) -> None:
            picture = self._colours.picture(glimpse.latents)
            entry.preview = preview(picture) if picture is not None else None

        return await pool.submit(
            request,
            width=width,
            priority="online",
            seconds=seconds,
            attempts=self._config.attempts,
            options=replace(self._config.options, return_latents=True),
            key=entry.job.id,
            on_progress=hear,
            on_glimpse=see,
            progress_s=PROGRESS_S,
        )

    def _may_wait_s(self, entry: Entry) -> float | None:
        """How long a job may still wait for its gang, by prediction; None if it has no deadline."""
        deadline_s = self._config.limits.deadline_s
        if deadline_s is None:
            return None
        return max(0.0, entry.job.created_at + deadline_s - entry.seconds - time.time())

    def _how_late(self, entry: Entry) -> str:
        waited_s = time.time() - entry.job.created_at
        return (
            f"it waited {waited_s:.1f} s, takes {entry.seconds:.1f} s and would not have been made within the "
            f"{self._config.limits.deadline_s:g} s that the endpoint allows; try again when fewer videos wait"
        )


def _content(result: VideoResult, fps: int) -> Mapping[Variant, bytes]:
    frames = result.frames
    return {"video": encode_mp4(frames, fps), "thumbnail": thumbnail(frames), "spritesheet": spritesheet(frames)}


async def patiently(call: Callable[[], T], what: str) -> T:
    """What `call` returns, tried again for as long as the store fails."""
    while True:
        try:
            return await asyncio.to_thread(call)
        except StoreError as error:
            log.warning("%s: %s", what, error)
            await asyncio.sleep(RETRY_S)
