"""What the pool hands to every rank for one video, and what a rank hands back."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.engine.snapshot import Snapshot, SnapshotPart
from actors.figures import Figures
from cluster.errors import PabcastError
from cluster.plan import Priority

if TYPE_CHECKING:
    from actors.engine.request import RunOptions, VideoRequest

FINISHED = 1 << 30
"""The step that a rank names when asked to hold a run that it has ended."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How a submitter wants its video made."""

    width: int = 1
    priority: Priority = "offline"
    attempts: int = 1
    seconds: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request on its way to the ranks. What only the engine reads stays packed, so that the pool loads no torch."""

    ticket: str
    """Names this submission among all."""
    key: str
    """What the submitter calls it; several tickets may share one."""
    width: int
    steps: int
    """As asked for. Progress counts evaluations of the model, of which a sampler may need a few more (PNDM 9)."""
    title: str
    """For messages: the shape of the video and the start of its prompt."""
    payload: bytes
    """The pickled `VideoRequest` and `RunOptions`."""
    resolution: str
    """The class of the video's shape."""
    priority: Priority = "offline"
    attempts: int = 1
    """How often it may lose a rank without getting further."""
    seconds: Mapping[int, float] = field(default_factory=dict)
    """Predicted, at every width that it may be given instead, `width` included; empty if it must have that one."""
    resume: Snapshot | None = None
    """Where to go on, if another gang lost it."""

    @classmethod
    def pack(cls, request: "VideoRequest", options: "RunOptions", *, ticket: str, key: str, wish: Wish) -> "Order":
        """Make the order for `request`, as `wish` says."""
        return cls(
            ticket=ticket,
            key=key,
            width=wish.width,
            priority=wish.priority,
            attempts=wish.attempts,
            seconds=wish.seconds,
            steps=request.steps,
            title=f"{request.shape} “{request.prompt[:40]}”",
            payload=pickle.dumps((request, options)),
            resolution=request.shape.resolution,
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
    part: SnapshotPart | None = None
    """What it hands over, with `HandedOver`."""
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the pool tells a submitter. `parts` holds (first frame, reference to that rank's pixels)."""

    error: PabcastError | None = None
    parts: tuple[tuple[int, Any], ...] = ()
    report: bytes = b""
    width: int = 0
    generation: int = 0
    queue_seconds: float = 0.0
    form_seconds: float = 0.0
