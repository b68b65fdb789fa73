"""Jobs of an endpoint for its tests."""

from dataclasses import replace

from pipelines.serving.job import Outcome, VideoJob
from pipelines.serving.jobs import Variant, VideoJobs
from tests.pipelines.samples import request

CONTENT: dict[Variant, bytes] = {"video": b"mp4", "thumbnail": b"webp", "spritesheet": b"jpeg"}
DONE = Outcome(result="completed", at=5.0, gang=2, seconds=1.5)
FAILED = Outcome(result="failed", at=5.0, code="internal_error", message="a rank died")


def new(number: int = 0, owner: str = "ann", keep_s: float = 3600.0) -> VideoJob:
    return VideoJob.new(owner, request(number), keep_s)


def made_before(job: VideoJob, seconds: float) -> VideoJob:
    """The same as if it had been asked for so long ago."""
    then = job.created_at - seconds
    moved = f"video_{int(then * 1000):012x}{job.id[18:]}"
    return replace(job, id=moved, created_at=then, expires_at=job.expires_at - seconds)


def objects(jobs: VideoJobs, prefix: str = "") -> list[str]:
    return [item.key for item in jobs.store.list(prefix)]
