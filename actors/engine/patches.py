"""Latents cut into the patches that are a model's tokens.

Shapes: B batch, C latent channels, T frames, h and w latent height and width, N tokens, V values of a patch
(C, then its frames, rows and columns, as a convolution's weight has them).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cluster.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class PatchGrid:
    """How latents of one size fall into patches, which are ordered by frame, row and column."""

    latent_size: tuple[int, int, int, int]
    """Channels, frames, height and width of the latents."""
    patch: tuple[int, int, int]
    """Frames, rows and columns of a patch."""

    @classmethod
    def over(cls, latents_BCThw: torch.Tensor, patch: Sequence[int]) -> "PatchGrid":
        """The grid of these latents.

        Raises:
            RequestError: they do not divide into whole patches.
        """
        channels, frames, height, width = latents_BCThw.shape[1:]
        patch_t, patch_h, patch_w = patch
        if frames % patch_t or height % patch_h or width % patch_w:
            raise RequestError(
                f"latents of {frames}x{height}x{width} (frames, height, width) do not divide into patches of "
                f"{patch_t}x{patch_h}x{patch_w}; make each a multiple"
            )
        return cls(latent_size=(channels, frames, height, width), patch=(patch_t, patch_h, patch_w))

    @property
    def size(self) -> tuple[int, int, int]:
        """Patches along frames, height and width."""
        _, *edges = self.latent_size
        frames, rows, columns = (edge // part for edge, part in zip(edges, self.patch, strict=True))
        return frames, rows, columns

    @property
    def num_tokens(self) -> int:
        """Patches of the whole video."""
        return math.prod(self.size)

    def cut(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, h, w) as patches (B, N, V)."""
        (frames, rows, columns), (patch_t, patch_h, patch_w) = self.size, self.patch
        x = latents_BCThw.unflatten(4, (columns, patch_w)).unflatten(3, (rows, patch_h)).unflatten(2, (frames, patch_t))
        return x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)

    def join(self, patches_BNV: torch.Tensor) -> torch.Tensor:
        """Patches (B, N, V) as latents (B, C, T, h, w)."""
        x = patches_BNV.unflatten(2, (-1, *self.patch)).unflatten(1, self.size)
        return x.permute(0, 4, 1, 5, 2, 6, 3, 7).flatten(6, 7).flatten(4, 5).flatten(2, 3)
