"""What there is to see of a video in the making."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.engine.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Glimpse:
    """The first latent frame of a snapshot."""

    step: int
    """Before which it was taken."""
    latents: npt.NDArray[np.float32]
    """(C, h, w), with the noise that is left."""

    @classmethod
    def of(cls, snapshot: Snapshot | None) -> "Glimpse | None":
        """None without a snapshot, and of latents that a model keeps as patches, which have no frames to see."""
        if snapshot is None or snapshot.latents.ndim != 5:
            return None
        return cls(step=snapshot.step, latents=snapshot.latents[0, :, 0])
