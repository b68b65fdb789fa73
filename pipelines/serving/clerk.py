"""The clerk: takes jobs in, has the pool make them, and keeps what comes out. There is one for an endpoint.

Its memory is a copy of what the store says: killed, it starts again with the jobs that have no outcome.
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal
from weakref import WeakValueDictionary

from actors.engine import inspect_model
from cluster.errors import ClusterError, RequestError, StoreError
from pipelines.serving.config import ServeConfig
from pipelines.serving.job import VideoJob
from pipelines.serving.jobs import KeyReused, VideoJobs
from pipelines.serving.lease import RENEW_S, StoreLease
from pipelines.serving.maker import Maker, patiently
from pipelines.serving.pool_hold import PoolHold
from pipelines.serving.queue import Entry, Look, OpenQueue
from pipelines.store import open_store
from pipelines.width_policy import Kindred, WidthPolicy

log = logging.getLogger("pabcast.clerk")

CLEAN_EVERY_S = 300.0
Refusal = Literal["queue_full", "key_full", "closing", "key_reused", "deleted"]


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What the clerk says to a new job."""

    job: VideoJob | None = None
    look: Look | None = None
    refusal: Refusal | None = None
    retry_after_s: int = 0
    """When there may be room again."""


class Clerk:
    """One process; its methods run on one event loop."""

    def __init__(self, config: ServeConfig, holder: str) -> None:
        """`holder` is the endpoint's own name: all its clerks have it, one after the other."""
        self._config = config
        self._card = inspect_model(config.model.folder)
        self._jobs = VideoJobs(open_store(config.store.uri, "store.uri"))
        self._widths = WidthPolicy.of(config, self._card.numbers, config.cluster.widest_of_a_job)
        self._lease = StoreLease(self._jobs.store, holder)
        self._problem = ""
        self._queue = OpenQueue()
        spec = config.cluster.pool_spec(self._card.path)
        self._pool = PoolHold(spec, lambda: [entry.job.id for entry in self._queue])
        self._maker = Maker(config, self._pool, self._jobs, self._widths)
        self._keyed: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._ended: dict[str, int] = {"completed": 0, "failed": 0, "deleted": 0}
        self._closing = False
        self._next_room_s = 0.0
        self._widths.warm_up()
        self._recovered = asyncio.ensure_future(self._recover())
        self._opening = asyncio.ensure_future(self._pool.have())
        self._cleaning = asyncio.ensure_future(self._clean())
        self._holding = asyncio.ensure_future(self._hold())

    async def admit(self, job: VideoJob, idempotency_key: str | None, asked: str) -> Admission:
        """Take a job in, if there is room; it is in the store before this returns.

        Raises:
            StoreError: it could not be kept.
        """
        await self._recovered
        if idempotency_key is None:
            return await self._admit(job, None, asked)
        lock = self._keyed.setdefault((job.owner, idempotency_key), asyncio.Lock())
        async with lock:  # copies of a request that come at once take one place
            return await self._admit(job, idempotency_key, asked)

    async def _admit(self, job: VideoJob, idempotency_key: str | None, asked: str) -> Admission:
        again = idempotency_key is not None and await asyncio.to_thread(
            self._jobs.made_with, job.owner, idempotency_key
        )
        refusal = None if again else self._refusal(job)
        if self._closing or refusal:
            return Admission(refusal=refusal or "closing", retry_after_s=self._room_in_s(job, refusal))
        entry = self._entry(job)
        self._queue.add(entry)  # before the next await: it counts from now on
        try:
            kept = await asyncio.to_thread(self._jobs.accept, job, idempotency_key, asked)
            outcome = None if kept.id == job.id else await asyncio.to_thread(self._jobs.outcome, kept.id)
        except KeyReused:
            self._queue.remove(job.id)
            return Admission(refusal="key_reused")
        except BaseException:
            self._queue.remove(job.id)
            raise
        if outcome is not None and outcome.result == "deleted":
            self._queue.remove(job.id)
            return Admission(refusal="deleted")
        if kept.id != job.id:
            self._queue.remove(job.id)
            entry = self._entry(kept)
            if outcome is None and self._queue.get(kept.id) is None:
                self._queue.add(entry)  # whoever wrote its mark died before the job was there
        if outcome is None and entry is self._queue.get(kept.id):
            self._start(entry)
        return Admission(job=kept, look=self._queue.look(kept.id, self._config.cluster.workers))

    def _refusal(self, job: VideoJob) -> Refusal | None:
        """Why there is no room for a job."""
        limits = self._config.limits
        if len(self._queue) >= limits.queue:
            return "queue_full"
        return "key_full" if self._queue.of(job.owner) >= limits.per_key else None

    async def look(self, job_ids: list[str]) -> dict[str, Look]:
        """Those of the jobs that are open, as they stand."""
        await self._recovered
        workers = self._config.cluster.workers
        return {job_id: look for job_id in job_ids if (look := self._queue.look(job_id, workers)) is not None}

    async def forget(self, job_id: str) -> None:
        """Stop making a job's video; the store has been told that it is deleted."""
        entry = self._queue.remove(job_id)
        if entry is not None and entry.task is not None:
            self._ended["deleted"] += 1
            entry.task.cancel()  # which cancels the request in the pool

    async def state(self) -> dict[str, Any]:
        """Numbers for people and Prometheus: queue, ends, and the pool's status if there is a pool."""
        entries = list(self._queue)
        running = sum(entry.step is not None for entry in entries)
        pool = await self._pool.status()
        return {
            "waiting": len(entries) - running,
            "running": running,
            "ended": dict(self._ended),
            "closing": self._closing,
            "pool": None if pool is None else asdict(pool),
        }

    async def check_health(self) -> None:
        """For Ray Serve: raises once it cannot work any more."""
        if self._problem:
            raise ClusterError(self._problem)
        if self._recovered.done() and not self._recovered.cancelled():
            self._recovered.result()

    async def close(self, patience_s: float) -> int:
        """Take nothing in any more, and wait for what runs; returns how many jobs are left for the next start."""
        self._closing = True
        for entry in self._queue:
            if entry.step is None and entry.task is not None:
                entry.task.cancel()
        running = [entry.task for entry in self._queue if entry.step is not None and entry.task is not None]
        if running:
            await asyncio.wait(running, timeout=patience_s)
        left = [entry for entry in self._queue if entry.step is None or (entry.task and not entry.task.done())]
        for task in (self._cleaning, self._opening, self._holding):
            task.cancel()
        await self._pool.drop()
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(self._lease.free)
        return len(left)

    def __del__(self) -> None:
        """Ray Serve calls it when it ends a replica: the pool ends with its last client."""
        self._pool.close()

    def _entry(self, job: VideoJob) -> Entry:
        decision = self._widths.decide(Kindred.of(job.request))[1]
        return Entry(job=job, seconds=decision.cost.seconds, width=decision.width, reason=decision.reason)

    def _start(self, entry: Entry) -> None:
        entry.task = asyncio.ensure_future(self._make(entry))

    def _room_in_s(self, job: VideoJob, refusal: Refusal | None) -> int:
        """When there may be room, by prediction: whoever is refused is given a later time than those before.

        Else all of them would come again for the same place. By the end of all that is taken in there is room.
        """
        now = time.monotonic()
        ends_s = self._queue.ends_in_s(self._config.cluster.workers)
        if refusal == "key_full":
            return max(1, round(min(ends_s[entry.job.id] for entry in self._queue if entry.job.owner == job.owner)))
        first_s, last_s = min(ends_s.values(), default=1.0), max(ends_s.values(), default=1.0)
        each_s = last_s / max(1, len(ends_s))
        self._next_room_s = min(max(now + first_s, self._next_room_s + each_s), now + last_s)
        return max(1, round(self._next_room_s - now))

    async def _recover(self) -> None:
        """Take up the jobs that have no outcome; what a former clerk has the pool make of them is cancelled first."""
        await patiently(self._lease.take, "the store cannot be held")
        jobs = await patiently(lambda: list(self._jobs.open_jobs()), "the store cannot be listed")
        for job in jobs:
            try:
                entry = self._entry(job)
            except RequestError as error:  # of a config that has changed
                await self._maker.fail(job, "request_error", str(error))
                continue
            self._queue.add(entry)
            self._start(entry)
        if jobs:
            log.info("%d open jobs are taken up", len(jobs))

    async def _make(self, entry: Entry) -> None:
        """Have one job made and kept; it stays open until the store has its outcome."""
        try:
            outcome = await self._maker.make(entry)
            self._ended[outcome.result] += 1
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("%s cannot be made", entry.job.id)
            await self._maker.fail(entry.job, "internal_error", "the video could not be made; the log says why")
            self._ended["failed"] += 1
        finally:
            if not self._closing:
                self._queue.remove(entry.job.id)

    async def _hold(self) -> None:
        """Keep the store; without it nothing more is made."""
        await self._recovered
        while await patiently(self._lease.renew, "the store cannot be held"):
            await asyncio.sleep(RENEW_S)
        self._problem = "another endpoint has taken the store"
        log.error("%s; this one ends its work", self._problem)
        self._closing = True
        for entry in self._queue:
            if entry.task is not None:
                entry.task.cancel()

    async def _clean(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._jobs.clean, time.time(), self._config.limits.keep_s)
            except StoreError as error:
                log.warning("what has expired cannot be removed: %s", error)
            for entry in self._queue:
                if entry.job.expires_at < time.time():
                    await self.forget(entry.job.id)
            await asyncio.sleep(CLEAN_EVERY_S)
