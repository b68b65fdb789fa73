"""Decoding by tiles, so that the memory it takes does not grow with the video.

Shapes: B batch, C channels, T latent frames, h and w latent height and width, H and W pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

Decode = Callable[[torch.Tensor], torch.Tensor]

_PIXELS = 8
"""Of a latent pixel, along an edge."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """The size of a tile, and how tiles meet.

    In time, a tile begins with the last latent frame of the one before and drops its picture: the first latent frame
    of a tile is decoded as a single frame. In space, tiles overlap and are faded into each other.
    Norms are over a tile, so the pixels are not exactly those of a decoding in one piece.
    """

    frames: int = 17
    """Latent frames of a tile."""
    edge: int = 32
    """Latent pixels of a tile, along an edge."""
    overlap: float = 0.25
    """What neighbours share, of an edge."""

    def fits(self, latents_BCThw: torch.Tensor) -> bool:
        """Whether one tile holds it all."""
        frames, *edges = latents_BCThw.shape[2:]
        return frames <= self.frames and max(edges) <= self.edge

    def starts(self, latent_frames: int) -> range:
        """The first latent frame of each tile, in time."""
        return range(0, max(latent_frames - 1, 1), self.frames - 1)

    def decode(self, decode: Decode, latents_BCThw: torch.Tensor, *, part: bool = False) -> torch.Tensor:
        """Latents (B, C, T, h, w) to pixels (B, 3, 4T - 3, 8h, 8w), `decode` doing a tile.

        They may be a `part` of a longer video, which no tile holds.
        """
        if self.fits(latents_BCThw) and not part:
            return decode(latents_BCThw)
        starts = self.starts(latents_BCThw.shape[2])
        first, *others = (self._decode_frames(decode, latents_BCThw[:, :, at : at + self.frames]) for at in starts)
        return torch.cat([first, *(pixels[:, :, 1:] for pixels in others)], dim=2)

    def _decode_frames(self, decode: Decode, latents_BCThw: torch.Tensor) -> torch.Tensor:
        step = int(self.edge * (1 - self.overlap))
        fade = int(self.edge * _PIXELS * self.overlap)
        kept = self.edge * _PIXELS - fade
        height, width = latents_BCThw.shape[3:]
        above: list[torch.Tensor] = []
        rows = []
        for top in range(0, height, step):
            row: list[torch.Tensor] = []
            for column, left in enumerate(range(0, width, step)):
                tile = decode(latents_BCThw[..., top : top + self.edge, left : left + self.edge])
                if above:
                    tile = _faded(above[column], tile, fade, dim=3)
                if row:
                    tile = _faded(row[-1], tile, fade, dim=4)
                row.append(tile)
            rows.append(torch.cat([tile[..., :kept, :kept] for tile in row], dim=4))
            above = row
        return torch.cat(rows, dim=3)


def _faded(before: torch.Tensor, after: torch.Tensor, extent: int, dim: int) -> torch.Tensor:
    """`after`, its first pixels along `dim` faded in over the last ones of `before`."""
    size = after.shape[dim]
    extent = min(before.shape[dim], size, extent)
    weight = torch.arange(extent, device=after.device).to(after.dtype) / extent
    weight = weight.reshape([-1 if axis == dim else 1 for axis in range(after.ndim)])
    ending = before.narrow(dim, before.shape[dim] - extent, extent)
    fading = ending * (1 - weight) + after.narrow(dim, 0, extent) * weight
    return torch.cat([fading, after.narrow(dim, extent, size - extent)], dim=dim)
