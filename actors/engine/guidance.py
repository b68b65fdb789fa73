"""Classifier-free guidance, the branches in one batch, one after the other, or on one half of the gang each.

Shapes: B batch, L text tokens, D width; a part is a rank's share of one video's latents.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist

from actors.engine.cache import BroadcastCache
from actors.engine.collectives import Collectives
from actors.engine.families.family import Denoiser
from actors.engine.parallel import SequenceParallel
from cluster.guidance import Guidance, Layout
from cluster.schedule import BroadcastSchedule


@dataclass(frozen=True)
class Branch:
    """Text that runs in one pass, with a cache of its own."""

    text_BLD: torch.Tensor
    cache: BroadcastCache


class GuidedDenoiser:
    """Predicts with guidance: uncond + scale * (cond - uncond); a scale of 1 or less needs cond alone."""

    def __init__(
        self,
        denoiser: Denoiser,
        branches: tuple[Branch, ...],
        scale: float,
        group: dist.ProcessGroup | None,
        *,
        split: bool,
        in_float32: bool,
    ) -> None:
        self._denoiser = denoiser
        self._branches = branches
        self._scale = scale
        self._group = group
        self._split = split
        self._in_float32 = in_float32

    @classmethod
    def build(
        cls,
        denoiser: Denoiser,
        text: torch.Tensor,
        negative_text: torch.Tensor | None,
        scale: float,
        schedule: BroadcastSchedule,
        guidance: Guidance,
        group: dist.ProcessGroup | None = None,
        *,
        in_float32: bool = False,
    ) -> "GuidedDenoiser":
        """Text features are (1, L, K); without `negative_text` there is no guidance. It predicts `in_float32`."""
        texts = [part for part in (negative_text, text) if part is not None]
        split = group is not None and Layout.of(guidance, len(texts), group.size()).splits(group.size())
        if split:
            texts = [texts[Collectives(group, halves=True).half]]
        projected = [denoiser.project_text(part) for part in texts]
        if guidance != "two_pass":
            projected = [torch.cat(projected)]
        branches = tuple(Branch(part, BroadcastCache(schedule)) for part in projected)
        return cls(denoiser, branches, scale, group, split=split, in_float32=in_float32)

    def driven_by(self, denoiser: Denoiser) -> "GuidedDenoiser":
        """The same branches, with the caches that they have, under another denoiser of the same model."""
        return GuidedDenoiser(
            denoiser, self._branches, self._scale, self._group, split=self._split, in_float32=self._in_float32
        )

    @property
    def cache_peak_bytes(self) -> int:
        """The most that the caches held, all branches together."""
        return sum(branch.cache.peak_bytes for branch in self._branches)

    @property
    def cache_bytes(self) -> int:
        """What the caches hold now."""
        return sum(branch.cache.bytes for branch in self._branches)

    def share_out(self, latents_1CThw: torch.Tensor, collectives: Collectives | None = None) -> SequenceParallel:
        """How the latents are shared out over the gang, or what stands for one in `collectives`, for one run."""
        text_BLD = self._branches[0].text_BLD
        collectives = collectives or Collectives(self._group, halves=self._split)
        return self._denoiser.share_out(latents_1CThw, text_BLD, collectives)

    def predictions(
        self, part: torch.Tensor, timestep: torch.Tensor, step: int, parallel: SequenceParallel
    ) -> list[torch.Tensor]:
        """The prediction of each branch, uncond first, each of the shape of `part`."""
        with parallel.collectives.in_graphs():
            outputs = [
                self._denoiser(
                    part.expand(len(branch.text_BLD), *part.shape[1:]),
                    timestep,
                    branch.text_BLD,
                    step=step,
                    cache=branch.cache,
                    parallel=parallel,
                )
                for branch in self._branches
            ]
        if not self._split:
            return [alone for output in outputs for alone in output.split(1)]
        own, swapped = outputs[0], parallel.collectives.swap(outputs[0])
        return [own, swapped] if parallel.collectives.half == 0 else [swapped, own]

    def __call__(
        self, part: torch.Tensor, timestep: torch.Tensor, step: int, parallel: SequenceParallel
    ) -> torch.Tensor:
        """The guided prediction, of the shape of `part`."""
        found = self.predictions(part, timestep, step, parallel)
        if self._in_float32:
            found = [alone.float() for alone in found]
        if len(found) == 1:
            return found[0]
        uncond, cond = found
        return uncond + self._scale * (cond - uncond)
