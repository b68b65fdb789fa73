"""What the pool hands to every rank for one video, and what a rank hands back."""

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.engine.snapshot import Snapshot
from cluster.errors import PabcastError

if TYPE_CHECKING:
    from actors.engine.request import RunOptions, VideoRequest

FINISHED = 1 << 30
"""The step that a rank names when asked to hold a run that it has ended."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request on its way to the ranks. What only the engine reads stays packed, so that the pool loads no torch."""

    ticket: str
    """Names this submission among all."""
    key: str
    """What the submitter calls it; several tickets may share one."""
    width: int
    steps: int
    title: str
    """For messages: the shape of the video and the start of its prompt."""
    payload: bytes
    """The pickled `VideoRequest` and `RunOptions`."""
    resume: Snapshot | None = None
    """Where to go on, if another gang lost it."""

    @classmethod
    def pack(cls, request: "VideoRequest", options: "RunOptions", *, ticket: str, key: str, width: int) -> "Order":
        """Make the order for `request` on a gang of `width`."""
        return cls(
            ticket=ticket,
            key=key,
            width=width,
            steps=request.steps,
            title=f"{request.shape} “{request.prompt[:40]}”",
            payload=pickle.dumps((request, options)),
        )

    def unpack(self) -> tuple["VideoRequest", "RunOptions"]:
        """The request and how to run it."""
        request, options = pickle.loads(self.payload)
        return request, options


@dataclass(frozen=True, kw_only=True)
class RankAnswer:
    """The small part of what a rank made; the frames and latents travel apart, from the rank to the client."""

    first_frame: int = 0
    report: bytes = b""
    """The pickled `VideoReport`."""
    error: PabcastError | None = None
    """Why there is nothing: RequestError, Cancelled, or GangError for all else."""
    died: bool = False
    """Whether its process is gone, or its device works no more."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the pool tells a submitter. `parts` holds (first frame, reference to that rank's pixels)."""

    error: PabcastError | None = None
    parts: tuple[tuple[int, Any], ...] = ()
    report: bytes = b""
    width: int = 0
    generation: int = 0
    queue_seconds: float = 0.0
