"""Dynamic sequence parallelism for spatial-temporal models (paper sec. 3.4; DSP, arXiv 2403.10266).

Shapes: B batch, T all frames, S all patches of a frame, t and s a rank's share of them, D width,
C latent channels, h and w latent height and width.
"""

from itertools import pairwise

import torch

from actors.engine.collectives import Collectives


def spans(total: int, parts: int) -> list[tuple[int, int]]:
    """Cut `total` into `parts` runs (start, stop), the first ones longer by one where it does not divide."""
    each, rest = divmod(total, parts)
    starts = [part * each + min(part, rest) for part in range(parts + 1)]
    return list(pairwise(starts))


class FrameParallel:
    """Frames shared out over the ranks of `collectives`, which count what it hands to them.

    Spatial attention, cross attention and MLPs work on a frame alone, so they need nobody. Temporal attention
    needs all frames of a patch: `to_patches` trades a share of the frames for a share of the patches, and
    `to_frames` trades back. Shares are uneven where they do not divide; nothing is padded.
    """

    axis = 2
    """Of the latents: the frames."""
    graph_key: tuple[int, ...]

    def __init__(self, num_frames: int, num_patches: int, collectives: Collectives | None = None) -> None:
        """Share out so many latent frames, of so many patches each."""
        self.collectives = collectives or Collectives()
        self.num_frames = num_frames
        """Of all ranks together."""
        self._frames = spans(num_frames, self.collectives.width)
        self._patches = spans(num_patches, self.collectives.width)
        own_frames, own_patches = (cuts[self.collectives.rank] for cuts in (self._frames, self._patches))
        self.frames = slice(*own_frames)
        """The frames of this rank."""
        self._num_own_frames, self._num_own_patches = own_frames[1] - own_frames[0], own_patches[1] - own_patches[0]
        self.graph_key = (self.collectives.width, num_frames, self._num_own_patches)

    def to_patches(self, x_BtSD: torch.Tensor) -> torch.Tensor:
        """All frames of this rank's patches: (B, t, S, D) -> (B, T, s, D)."""
        if self.collectives.alone:
            return x_BtSD
        batch, _, _, hidden = x_BtSD.shape
        sent = [x_BtSD[:, :, start:stop] for start, stop in self._patches]
        got = [(batch, stop - start, self._num_own_patches, hidden) for start, stop in self._frames]
        return torch.cat(self.collectives.exchange(sent, got), dim=1)

    def to_frames(self, x_BTsD: torch.Tensor) -> torch.Tensor:
        """All patches of this rank's frames: (B, T, s, D) -> (B, t, S, D)."""
        if self.collectives.alone:
            return x_BTsD
        batch, _, _, hidden = x_BTsD.shape
        sent = [x_BTsD[:, start:stop] for start, stop in self._frames]
        got = [(batch, self._num_own_frames, stop - start, hidden) for start, stop in self._patches]
        return torch.cat(self.collectives.exchange(sent, got), dim=2)

    def share(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        """This rank's frames of the whole video's latents, (B, C, t, h, w)."""
        return latents_BCThw[:, :, self.frames]

    def own(self, joined_BCThw: torch.Tensor) -> torch.Tensor:
        """This rank's part of the parts of all ranks, which are the latents."""
        return self.share(joined_BCThw)

    def gather(self, part_BCthw: torch.Tensor) -> torch.Tensor:
        """All frames on every rank: (B, C, t, h, w) -> (B, C, T, h, w); once a video."""
        if self.collectives.alone:
            return part_BCthw
        return self.collectives.gather(part_BCthw, 2, [stop - start for start, stop in self._frames])
