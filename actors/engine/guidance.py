"""Classifier-free guidance, both branches in one batch or one pass after the other.

Shapes: B batch, C latent channels, T frames of this rank, h and w latent height and width, L text tokens, D width.
"""

from dataclasses import dataclass

import torch

from actors.engine.cache import BroadcastCache
from actors.engine.models.latte import LatteDenoiser
from actors.engine.request import Guidance
from actors.engine.sequence import FrameParallel
from cluster.schedule import BroadcastSchedule


@dataclass(frozen=True)
class Branch:
    """Text that runs in one pass, with a cache of its own."""

    text_BLD: torch.Tensor
    cache: BroadcastCache


class GuidedDenoiser:
    """Predicts with guidance: uncond + scale * (cond - uncond); a scale of 1 or less needs cond alone."""

    def __init__(self, denoiser: LatteDenoiser, branches: tuple[Branch, ...], scale: float) -> None:
        self._denoiser = denoiser
        self._branches = branches
        self._scale = scale

    @classmethod
    def build(
        cls,
        denoiser: LatteDenoiser,
        text: torch.Tensor,
        negative_text: torch.Tensor | None,
        scale: float,
        schedule: BroadcastSchedule,
        passes: Guidance,
    ) -> "GuidedDenoiser":
        """Text features are (1, L, K); without `negative_text` there is no guidance."""
        texts = [denoiser.project_text(part) for part in (negative_text, text) if part is not None]
        if passes == "batched":
            texts = [torch.cat(texts)]
        return cls(denoiser, tuple(Branch(part, BroadcastCache(schedule)) for part in texts), scale)

    @property
    def cache_peak_bytes(self) -> int:
        """The most that the caches held, all branches together."""
        return sum(branch.cache.peak_bytes for branch in self._branches)

    @property
    def cache_bytes(self) -> int:
        """What the caches hold now."""
        return sum(branch.cache.bytes for branch in self._branches)

    def predictions(
        self, latents_1CThw: torch.Tensor, timestep: torch.Tensor, step: int, parallel: FrameParallel
    ) -> list[torch.Tensor]:
        """The prediction of each branch, uncond first, each (1, C, T, h, w)."""
        outputs = [
            self._denoiser(
                latents_1CThw.expand(len(branch.text_BLD), -1, -1, -1, -1),
                timestep,
                branch.text_BLD,
                step=step,
                cache=branch.cache,
                parallel=parallel,
            )
            for branch in self._branches
        ]
        return [part for output in outputs for part in output.split(1)]

    def __call__(
        self, latents_1CThw: torch.Tensor, timestep: torch.Tensor, step: int, parallel: FrameParallel
    ) -> torch.Tensor:
        """The guided prediction, (1, C, T, h, w)."""
        parts = self.predictions(latents_1CThw, timestep, step, parallel)
        if len(parts) == 1:
            return parts[0]
        uncond, cond = parts
        return uncond + self._scale * (cond - uncond)
