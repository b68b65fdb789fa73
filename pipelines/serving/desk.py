"""What one ingress process does for its requests: reads the store, asks the clerk."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, Protocol

from actors.engine.request import VideoRequest
from cluster.errors import RequestError
from pipelines.models import read_whole_card
from pipelines.rows import RowDefaults
from pipelines.serving.asking import read_request
from pipelines.serving.clerk import Admission
from pipelines.serving.config import ServeConfig
from pipelines.serving.job import Outcome, VideoJob
from pipelines.serving.jobs import FILES, Variant, VideoJobs, content_key, is_id
from pipelines.serving.keys import Keys
from pipelines.serving.looks import Looks
from pipelines.serving.problems import ApiProblem, bad_request, not_found
from pipelines.serving.queue import Look
from pipelines.serving.view import video_object
from pipelines.store import StoredObject, open_store
from pipelines.width_policy import Kindred, WidthPolicy

_LOOK_EVERY_S = 0.05
_INTAKE = 4
"""New work is taken in so many requests at a time: whoever asks for a state does not wait behind a crowd."""


class RemoteClerk(Protocol):
    """The clerk, wherever it is."""

    async def admit(self, job: VideoJob, idempotency_key: str | None, asked: str) -> Admission:
        """Take a job in."""
        ...

    async def look(self, job_ids: list[str]) -> dict[str, Look]:
        """Those of the jobs that are open."""
        ...

    async def forget(self, job_id: str) -> None:
        """Stop making it."""
        ...

    async def state(self) -> dict[str, Any]:
        """Its numbers."""
        ...


class Desk:
    """Answers for any job, whichever process took it in; it holds no state of its own."""

    def __init__(self, config: ServeConfig, clerk: RemoteClerk) -> None:
        self.config = config
        self.clerk = clerk
        self.keys = Keys.read(config.keys_path)
        self.card = read_whole_card(config.model)
        self.defaults = RowDefaults.of(config, self.card.numbers, self.card.revision)
        self.jobs = VideoJobs(open_store(config.store.uri, "store.uri"))
        self._looks = Looks(clerk.look)
        self._widths = WidthPolicy.of(config, self.card.numbers, config.cluster.widest_of_a_job)
        self._widths.warm_up()
        self._intake = asyncio.Semaphore(_INTAKE)

    async def create(self, owner: str, fields: Mapping[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        """Take a request in; the answer is its Video."""
        request = read_request(fields, self.defaults)
        self._check_feasible(request)
        job = VideoJob.new(owner, request, self.config.limits.keep_s)
        return await self._admit(job, idempotency_key, fields)

    async def remix(
        self, owner: str, job_id: str, fields: Mapping[str, Any], idempotency_key: str | None
    ) -> dict[str, Any]:
        """The same video with another prompt, as a new job."""
        job = await self.find(owner, job_id)
        others = sorted(set(fields) - {"prompt"})
        if others:
            text = f"a remix takes a prompt and nothing else; leave out {others[0][:64]}"
            raise ApiProblem(400, text, code="unsupported_parameter", param=others[0][:64])
        request = job.request
        fields = {
            "prompt": fields.get("prompt"),
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "fps": request.fps,
            "num_frames": request.num_frames,
            "width": request.width,
            "height": request.height,
            "guidance_scale": request.guidance_scale,
            "num_inference_steps": request.steps,
            "pab": request.pab.text(),
        }
        again = VideoJob.new(owner, read_request(fields, self.defaults), self.config.limits.keep_s, remixed_from=job.id)
        return await self._admit(again, idempotency_key, {**fields, "remixed_from": job.id})

    async def find(self, owner: str, job_id: str) -> VideoJob:
        """The owner's job of that id; `ApiProblem` if there is none."""
        job = await asyncio.to_thread(self.jobs.read, owner, job_id)
        if job is None:
            raise not_found(job_id)
        return job

    async def video(self, owner: str, job_id: str) -> dict[str, Any]:
        """A job's Video."""
        job = await self.find(owner, job_id)
        return (await self._views([job]))[0]

    async def page(self, owner: str, after: str | None, limit: int, order: Literal["asc", "desc"]) -> dict[str, Any]:
        """So many of the owner's Videos behind the one with the id `after`."""
        ids = await asyncio.to_thread(self.jobs.ids, owner)
        if order == "desc":
            ids.reverse()
        if after is not None:
            if not is_id(after):
                raise not_found(after, param="after")
            # Ids sort by time, so one that is deleted still is a place to go on from.
            ids = [name for name in ids if (name < after if order == "desc" else name > after)]
        found = await asyncio.gather(*(asyncio.to_thread(self.jobs.readable, owner, name) for name in ids[:limit]))
        data = await self._views([job for job in found if job is not None])
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": ids[:limit][-1] if ids else None,
            "has_more": len(ids) > limit,
        }

    async def delete(self, owner: str, job_id: str) -> None:
        """Forget a job; what makes it stops."""
        if not await asyncio.to_thread(self.jobs.has, owner, job_id):
            raise not_found(job_id)
        await asyncio.to_thread(self.jobs.delete, owner, job_id)
        await self.clerk.forget(job_id)

    async def content(self, owner: str, job_id: str, variant: Variant) -> StoredObject:
        """A completed job's file; `ApiProblem` if it is not completed."""
        job = await self.find(owner, job_id)
        outcome = await asyncio.to_thread(self.jobs.outcome, job_id)
        if outcome is None or outcome.result != "completed":
            state = "not completed yet" if outcome is None else "failed"
            raise ApiProblem(404, f"video {job.id} is {state}; it has no content", code="video_not_ready")
        found = await asyncio.to_thread(self.jobs.store.stat, content_key(job_id, variant))
        if found is None:
            raise ApiProblem(404, f"the {FILES[variant][0]} of {job.id} is not there any more", code="not_found")
        return found

    async def events(self, owner: str, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """A job's Video now, and whenever its status or step has changed, until it has ended."""
        job = await self.find(owner, job_id)
        last = None
        while True:
            view = (await self._views([job]))[0]
            state = (view["status"], view["step"], view["queue_position"])
            if state != last:
                last = state
                yield view
            if view["status"] in ("completed", "failed"):
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _admit(self, job: VideoJob, idempotency_key: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        asked = hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()
        async with self._intake:
            admission = await self.clerk.admit(job, idempotency_key, asked)
        if admission.job is None:
            raise self._refusal(admission)
        if admission.look is not None:
            return video_object(admission.job, None, admission.look)
        return (await self._views([admission.job]))[0]

    def _refusal(self, admission: Admission) -> ApiProblem:
        limits, wait = self.config.limits, {"retry-after": str(admission.retry_after_s)}
        if admission.refusal == "queue_full":
            text = f"{limits.queue} videos wait or are being made, and no more are taken; try again later"
            return ApiProblem(429, text, code="queue_full", headers=wait)
        if admission.refusal == "key_full":
            text = f"{limits.per_key} of your videos wait or are being made, and no more are taken; try again later"
            return ApiProblem(429, text, code="rate_limit_exceeded", headers=wait)
        if admission.refusal == "key_reused":
            text = "the Idempotency-Key came before with another request; give each request one of its own"
            return ApiProblem(409, text, code="idempotency_key_reused")
        if admission.refusal == "deleted":
            text = "the video that was made with this Idempotency-Key was deleted; give a new request a key of its own"
            return ApiProblem(410, text, code="deleted")
        return ApiProblem(503, "the endpoint is being shut down", code="shutting_down", headers=wait)

    def _check_feasible(self, request: VideoRequest) -> None:
        """Refuse what fits nowhere or takes longer than `gang.latency_s`, with the arithmetic."""
        goal = self.config.gang.latency_s
        try:
            decision = self._widths.decide(Kindred.of(request))[1]
        except RequestError as error:
            raise bad_request(error) from error
        seconds = decision.cost.seconds
        if goal is not None and seconds > goal:
            raise ApiProblem(
                400,
                f"{request.shape} in {request.steps} steps takes {seconds:.1f} s on a gang of {decision.width}, the "
                f"best there is, and the endpoint's goal is {goal:g} s; ask for fewer pixels, frames or steps",
                code="latency_goal",
                param="size",
            )

    async def _views(self, jobs: list[VideoJob]) -> list[dict[str, Any]]:
        outcomes = await self._outcomes(jobs)
        open_ = [job for job in jobs if outcomes[job.id] is None]
        looks = await self._looks.of(job.id for job in open_)
        # One that has ended in between is not the clerk's any more.
        outcomes |= await self._outcomes([job for job in open_ if job.id not in looks])
        return [video_object(job, outcomes[job.id], looks.get(job.id)) for job in jobs]

    async def _outcomes(self, jobs: list[VideoJob]) -> dict[str, Outcome | None]:
        found = await asyncio.gather(*(asyncio.to_thread(self.jobs.outcome, job.id) for job in jobs))
        return dict(zip((job.id for job in jobs), found, strict=True))
