"""A video as the pool's client hands it out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from actors.engine.report import VideoReport


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """The frames of a video and how they were made."""

    frames: npt.NDArray[np.uint8]
    """(T, H, W, 3)."""
    latents: npt.NDArray[Any] | None
    """Final latents (1, C, T, h, w), if they were asked for."""
    report: "VideoReport"
    """Of rank 0."""
    width: int
    """Workers of the gang."""
    generation: int
    """Life of the gang that made it."""
    queue_seconds: float
    """From the submission to the start of the run."""
    form_seconds: float
    """To form its last gang out of workers that had others; 0 if the gang was there."""
