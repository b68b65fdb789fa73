"""The collectives of one rank of a gang, with uneven parts, counted where they happen."""

from collections.abc import Sequence

import torch
import torch.distributed as dist

from cluster.forecast import CollectiveCount


class Collectives:
    """What a rank hands to the others of `group`; a count has the bytes it hands over, its own part included.

    Nothing is padded on the way but in `gather`, once a video.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group
        self.width = 1 if group is None else group.size()
        self.rank = 0 if group is None else group.rank()
        self.all_to_all = CollectiveCount()
        self.all_gather = CollectiveCount()

    @property
    def alone(self) -> bool:
        """Whether there is nobody to talk to."""
        return self._group is None

    def exchange(self, sent: Sequence[torch.Tensor], got: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
        """Send `sent[r]` to rank r and return what each rank sent here, of the shapes `got`: one all-to-all."""
        source = torch.cat([piece.reshape(-1) for piece in sent])
        sizes = [torch.Size(shape).numel() for shape in got]
        target = source.new_empty(sum(sizes))
        self.all_to_all = _counted(self.all_to_all, source)
        dist.all_to_all_single(target, source, sizes, [piece.numel() for piece in sent], group=self._group)
        return [piece.view(shape) for piece, shape in zip(target.split(sizes), got, strict=True)]

    def gather(self, x: torch.Tensor, dim: int, lengths: Sequence[int]) -> torch.Tensor:
        """The shares of all ranks, `lengths[r]` of rank r, put together along `dim`: one all-gather.

        gloo gathers equal sizes only, so a rank whose share is shorter than the longest fills it up with zeros.
        """
        filling = list(x.shape)
        filling[dim] = max(lengths) - x.shape[dim]
        shard = torch.cat([x, x.new_zeros(filling)], dim=dim).contiguous()
        shards = [torch.empty_like(shard) for _ in lengths]
        self.all_gather = _counted(self.all_gather, x)
        dist.all_gather(shards, shard, group=self._group)
        return torch.cat([shard.narrow(dim, 0, length) for shard, length in zip(shards, lengths, strict=True)], dim)


def _counted(count: CollectiveCount, handed: torch.Tensor) -> CollectiveCount:
    return CollectiveCount(calls=count.calls + 1, bytes=count.bytes + handed.nbytes)
