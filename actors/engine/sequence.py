"""Dynamic sequence parallelism for spatial-temporal models (paper sec. 3.4; DSP, arXiv 2403.10266).

Shapes: B batch, T all frames, S all patches of a frame, t and s a rank's share of them, D width,
C latent channels, h and w latent height and width.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.distributed as dist

from cluster.forecast import CollectiveCount


def spans(total: int, parts: int) -> list[tuple[int, int]]:
    """Cut `total` into `parts` runs (start, stop), the first ones longer by one where it does not divide."""
    each, rest = divmod(total, parts)
    starts = [part * each + min(part, rest) for part in range(parts + 1)]
    return list(pairwise(starts))


class FrameParallel:
    """Frames shared out over the ranks of `group`; counts what it hands to the collectives.

    Spatial attention, cross attention and MLPs work on a frame alone, so they need nobody. Temporal attention
    needs all frames of a patch: `to_patches` trades a share of the frames for a share of the patches, and
    `to_frames` trades back. Shares are uneven where they do not divide; nothing is padded.
    """

    def __init__(self, num_frames: int, group: dist.ProcessGroup | None = None) -> None:
        self._group = group
        self.width = 1 if group is None else group.size()
        self.rank = 0 if group is None else group.rank()
        self._frames = spans(num_frames, self.width)
        self.all_to_all = CollectiveCount()
        self.all_gather = CollectiveCount()

    @property
    def frames(self) -> slice:
        """The frames of this rank."""
        return slice(*self._frames[self.rank])

    def to_patches(self, x_BtSD: torch.Tensor) -> torch.Tensor:
        """All frames of this rank's patches: (B, t, S, D) -> (B, T, s, D)."""
        if self._group is None:
            return x_BtSD
        batch, _, patches, hidden = x_BtSD.shape
        cuts = spans(patches, self.width)
        mine = cuts[self.rank][1] - cuts[self.rank][0]
        sent = [x_BtSD[:, :, start:stop] for start, stop in cuts]
        got = [(batch, stop - start, mine, hidden) for start, stop in self._frames]
        return torch.cat(self._exchange(sent, got), dim=1)

    def to_frames(self, x_BTsD: torch.Tensor, num_patches: int) -> torch.Tensor:
        """All patches of this rank's frames: (B, T, s, D) -> (B, t, S, D)."""
        if self._group is None:
            return x_BTsD
        batch, _, _, hidden = x_BTsD.shape
        start, stop = self._frames[self.rank]
        sent = [x_BTsD[:, first:last] for first, last in self._frames]
        got = [(batch, stop - start, last - first, hidden) for first, last in spans(num_patches, self.width)]
        return torch.cat(self._exchange(sent, got), dim=2)

    def gather_frames(self, x_BCthw: torch.Tensor) -> torch.Tensor:
        """All frames on every rank: (B, C, t, h, w) -> (B, C, T, h, w); once a video.

        gloo gathers equal sizes only, so a rank whose share is one frame short sends one empty frame more.
        """
        if self._group is None:
            return x_BCthw
        longest = self._frames[0][1]
        short = longest - x_BCthw.shape[2]
        shard = torch.nn.functional.pad(x_BCthw, (0, 0, 0, 0, 0, short)).contiguous()
        shards = [torch.empty_like(shard) for _ in range(self.width)]
        self.all_gather = _counted(self.all_gather, x_BCthw)
        dist.all_gather(shards, shard, group=self._group)
        kept = [shard[:, :, : stop - start] for shard, (start, stop) in zip(shards, self._frames, strict=True)]
        return torch.cat(kept, dim=2)

    def _exchange(self, sent: Sequence[torch.Tensor], got: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
        """Send `sent[r]` to rank r and return what each rank sent here, of the shapes `got`."""
        source = torch.cat([piece.reshape(-1) for piece in sent])
        sizes = [torch.Size(shape).numel() for shape in got]
        target = source.new_empty(sum(sizes))
        self.all_to_all = _counted(self.all_to_all, source)
        dist.all_to_all_single(target, source, sizes, [piece.numel() for piece in sent], group=self._group)
        return [piece.view(shape) for piece, shape in zip(target.split(sizes), got, strict=True)]


def _counted(count: CollectiveCount, handed: torch.Tensor) -> CollectiveCount:
    return CollectiveCount(calls=count.calls + 1, bytes=count.bytes + handed.nbytes)
