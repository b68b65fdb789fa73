"""What an endpoint has accepted and not yet made, as its clerk holds it in memory."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.serving.job import VideoJob


@dataclass(kw_only=True)
class Entry:
    """One open job."""

    job: VideoJob
    seconds: float = 0.0
    """Predicted, of making it."""
    width: int = 1
    """Chosen for its gang."""
    reason: str = ""
    """Why."""
    step: int | None = None
    """Finished steps; None while it waits."""
    preview: str | None = None
    """A data URL of what there is to see of it."""
    task: asyncio.Task[None] | None = None

    @property
    def steps(self) -> int:
        """Of the whole video."""
        return self.job.request.steps

    @property
    def left_s(self) -> float:
        """Predicted, until it is made once it runs."""
        return self.seconds * (1 - min(self.step or 0, self.steps) / self.steps)


@dataclass(frozen=True, kw_only=True)
class Look:
    """An open job at a moment."""

    status: str
    """queued or in_progress."""
    step: int
    steps: int
    queue_position: int | None
    """0 is the next one; None if it runs."""
    eta_s: float
    """Predicted, until it is made."""
    gang: int
    reason: str
    preview: str | None


class OpenQueue:
    """The open jobs, in the order in which they came."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def add(self, entry: Entry) -> None:
        """Put one at the end."""
        self._entries[entry.job.id] = entry

    def get(self, job_id: str) -> Entry | None:
        """The open job of that id."""
        return self._entries.get(job_id)

    def remove(self, job_id: str) -> Entry | None:
        """Take one out."""
        return self._entries.pop(job_id, None)

    def of(self, owner: str) -> int:
        """How many are one owner's."""
        return sum(entry.job.owner == owner for entry in self._entries.values())

    def look(self, job_id: str, workers: int) -> Look | None:
        """An open job as it stands, made by a pool of so many workers; None if it is not open."""
        entry = self._entries.get(job_id)
        if entry is None:
            return None
        waiting = [other.job.id for other in self._entries.values() if other.step is None]
        waits = entry.step is None
        return Look(
            status="queued" if waits else "in_progress",
            step=entry.step or 0,
            steps=entry.steps,
            queue_position=waiting.index(job_id) if waits else None,
            eta_s=self.ends_in_s(workers)[job_id],
            gang=entry.width,
            reason=entry.reason,
            preview=entry.preview,
        )

    def ends_in_s(self, workers: int) -> dict[str, float]:
        """Predicted seconds until each open job is made, by id, on a pool of so many workers."""
        ends_s, ahead_s = {}, 0.0
        for entry in self._entries.values():
            ends_s[entry.job.id] = entry.left_s + (ahead_s if entry.step is None else 0.0)
            ahead_s += entry.left_s * entry.width / workers
        return ends_s
