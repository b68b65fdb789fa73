"""What every way of sharing out a video's latents over a gang offers the sampler.

Shapes: B batch, C latent channels, T latent frames, h and w latent height and width.
"""

from typing import Protocol

import torch

from actors.engine.collectives import Collectives


class SequenceParallel(Protocol):
    """How one video is shared out over the ranks of a gang, for one run.

    A rank denoises its part of the latents from the first step to the last, for samplers work on each number alone.
    Joined along `axis` in the order of the ranks, the parts of any gang are the same array: a snapshot keeps that.
    """

    axis: int
    collectives: Collectives
    """What goes between the ranks, counted."""
    graph_key: tuple[int, ...]
    """What a compiled block reads of it beside the shapes of its tensors; other numbers may need another graph."""

    def share(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        """This rank's part of the whole video's latents."""

    def own(self, joined: torch.Tensor) -> torch.Tensor:
        """This rank's part of the parts of all ranks, joined along `axis`."""

    def gather(self, part: torch.Tensor) -> torch.Tensor:
        """The whole video's latents on every rank, (B, C, T, h, w); once a video."""
