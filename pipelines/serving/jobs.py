"""The jobs of an endpoint in its store, which alone says what there is: any process can be killed at any time.

jobs/<digest of the owner>/<id>.json     accepted; written before the answer, never changed
outcomes/<id>.json                       how it ended; of many writers the first one's counts
content/<id>/video.mp4 …                 written before the outcome
idempotency/<digest>.json                which job an Idempotency-Key made
"""

import hashlib
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from typing import Literal

from cluster.errors import StoreError
from pipelines.serving.job import Outcome, VideoJob
from pipelines.store import NotFound, Store

log = logging.getLogger("pabcast.jobs")

Variant = Literal["video", "thumbnail", "spritesheet"]
FILES: Mapping[Variant, tuple[str, str]] = {
    "video": ("video.mp4", "video/mp4"),
    "thumbnail": ("thumbnail.webp", "image/webp"),
    "spritesheet": ("spritesheet.jpg", "image/jpeg"),
}
"""File and media type of each variant."""
_ID = re.compile(r"video_[0-9a-f]{44}")


class KeyReused(Exception):
    """An Idempotency-Key came again with another request."""


class Damaged(StoreError):
    """What is in the store for a job cannot be understood."""


class VideoJobs:
    """The jobs; pickles and serves many threads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def accept(self, job: VideoJob, idempotency_key: str | None = None, asked: str = "") -> VideoJob:
        """Keep a new job, or return the one that its owner made with that key before, and with the same `asked`.

        Raises:
            KeyReused: the one before asked for something else.
        """
        if idempotency_key is None:
            self.store.put_if_absent(_job_key(job.owner, job.id), job.to_json())
            return job
        name = _mark_key(job.owner, idempotency_key)
        mark = {"asked": asked, "job": job.to_json().decode()}
        if not self.store.put_if_absent(name, json.dumps(mark).encode()):
            before = self._marked(name)
            if before is None:
                self.store.put(name, json.dumps(mark).encode())
            else:
                if before[0] != asked:
                    raise KeyReused
                # Its writer may have died before the job was there.
                job = before[1]
                if self.outcome(job.id) is not None:
                    return job
        self.store.put_if_absent(_job_key(job.owner, job.id), job.to_json())
        return job

    def made_with(self, owner: str, idempotency_key: str) -> bool:
        """Whether the owner has made a job with that key."""
        return self.store.exists(_mark_key(owner, idempotency_key))

    def read(self, owner: str, job_id: str) -> VideoJob | None:
        """The owner's job of that id; None for any text that is no id, and for a job of somebody else."""
        return self._read(_job_key(owner, job_id)) if is_id(job_id) else None

    def readable(self, owner: str, job_id: str) -> VideoJob | None:
        """As `read`, and None if it is damaged, which is logged: for lists, which show the others."""
        return self._readable(_job_key(owner, job_id)) if is_id(job_id) else None

    def outcome(self, job_id: str) -> Outcome | None:
        """How a job ended; None while it is open. One that cannot be understood counts as failed."""
        key = f"outcomes/{job_id}.json"
        try:
            return Outcome.from_json(self.store.get(key))
        except NotFound:
            return None
        except ValueError as error:
            log.error("%s/%s is no outcome: %s", self.store.uri, key, error)
            return Outcome(result="failed", at=0.0, code="damaged", message="what became of it cannot be read any more")

    def ids(self, owner: str) -> list[str]:
        """The owner's jobs, oldest first."""
        keys = (item.key for item in self.store.list(f"jobs/{_digest(owner)}/"))
        return [job_id for key in keys if is_id(job_id := _name(key))]

    def open_jobs(self) -> Iterator[VideoJob]:
        """The jobs that have not ended, oldest first."""
        names = [item.key.removesuffix(".json").split("/") for item in self.store.list("jobs/")]
        ended = {_name(item.key) for item in self.store.list("outcomes/")}
        for parts in sorted(names, key=lambda parts: parts[-1]):
            if len(parts) == 3 and parts[2] not in ended:
                job = self._readable("/".join(parts) + ".json")
                if job is not None:
                    yield job

    def complete(self, job: VideoJob, content: Mapping[Variant, bytes], outcome: Outcome) -> bool:
        """Keep a job's files, then its outcome; False, and nothing kept, if it had ended meanwhile."""
        for variant, data in content.items():
            self.store.put(content_key(job.id, variant), data, FILES[variant][1])
        if self.end(job, outcome):
            return True
        first = self.outcome(job.id)
        if first is not None and first.result != "completed":
            self._forget_content(job.id)
        return False

    def end(self, job: VideoJob, outcome: Outcome) -> bool:
        """Keep an outcome; False if there was one."""
        return self.store.put_if_absent(f"outcomes/{job.id}.json", outcome.to_json())

    def has(self, owner: str, job_id: str) -> bool:
        """Whether there is such a job, readable or not."""
        return is_id(job_id) and self.store.exists(_job_key(owner, job_id))

    def delete(self, owner: str, job_id: str) -> None:
        """Forget a job, whatever state it is in; what is being made for it is not kept any more.

        The outcome stays, so that who makes it meanwhile finds it ended, until `clean` removes it.
        """
        self.store.put(f"outcomes/{job_id}.json", Outcome(result="deleted", at=time.time()).to_json())
        self.store.delete(_job_key(owner, job_id))
        self._forget_content(job_id)

    def clean(self, now: float, keep_s: float) -> int:
        """Remove what has expired; how many jobs there were."""
        removed = 0
        living = set()
        for item in list(self.store.list("jobs/")):
            living.add(_name(item.key))
            job = self._readable(item.key) if _made_at(item.key) < now - keep_s else None
            if job is not None and job.expires_at < now:
                self.delete(job.owner, job.id)
                removed += 1
        # An outcome outlives its job by as long again: whoever still makes the video finds it. Marks go before
        # outcomes, or a request that is repeated in between would bring back what was deleted.
        for prefix in ("idempotency/", "outcomes/"):
            for item in list(self.store.list(prefix)):
                if item.modified + 2 * keep_s < now and _name(item.key) not in living:
                    self.store.delete(item.key)
        return removed

    def _read(self, key: str) -> VideoJob | None:
        """The job at `key`; None if there is none, `Damaged` if it cannot be understood."""
        try:
            return VideoJob.from_json(self.store.get(key))
        except NotFound:
            return None
        except ValueError as error:
            raise Damaged(f"{self.store.uri}/{key} is no job: {error}") from error

    def _readable(self, key: str) -> VideoJob | None:
        try:
            return self._read(key)
        except Damaged as error:
            log.error("passed over: %s", error)
            return None

    def _marked(self, name: str) -> tuple[str, VideoJob] | None:
        """What was asked with an Idempotency-Key, and the job that it made; None if its mark cannot be understood."""
        try:
            mark = json.loads(self.store.get(name))
            return str(mark["asked"]), VideoJob.from_json(mark["job"].encode())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.error("%s/%s is passed over: %s", self.store.uri, name, error)
            return None

    def _forget_content(self, job_id: str) -> None:
        for variant in FILES:
            self.store.delete(content_key(job_id, variant))


def is_id(text: str) -> bool:
    """Whether `text` has the form of a job's id."""
    return _ID.fullmatch(text) is not None


def content_key(job_id: str, variant: Variant) -> str:
    """Where a file of a job's is."""
    return f"content/{job_id}/{FILES[variant][0]}"


def _job_key(owner: str, job_id: str) -> str:
    return f"jobs/{_digest(owner)}/{job_id}.json"


def _mark_key(owner: str, idempotency_key: str) -> str:
    return f"idempotency/{_digest(owner, idempotency_key)}.json"


def _made_at(key: str) -> float:
    """When the job of that key was asked for, by its id."""
    job_id = _name(key)
    return int(job_id[6:18], 16) / 1000 if is_id(job_id) else float("inf")


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
