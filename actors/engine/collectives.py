"""The collectives of one rank of a gang, with uneven parts, counted where they happen."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.distributed as dist
from torch.library import custom_op

from cluster.forecast import CollectiveCount


class Collectives:
    """What a rank hands to those that share a sequence with it; a count has the bytes it hands over, its own included.

    They are all of `group`, or with `halves` those of the rank's half of it: the halves do the same at the same time,
    each for one guidance branch, and so need no groups of their own. Nothing is padded on the way but in `gather`,
    once a video.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, *, halves: bool = False) -> None:
        self._group = group
        self._all = 1 if group is None else group.size()
        self.width = self._all // 2 if halves else self._all
        """Ranks that share a sequence."""
        self.half, self.rank = divmod(0 if group is None else group.rank(), self.width)
        """Which half this rank is of, 0 if there are none, and its place among those that share a sequence with it."""
        self.all_to_all = CollectiveCount()
        self.all_gather = CollectiveCount()
        self.swaps = CollectiveCount()

    @classmethod
    def lone(cls, width: int, rank: int = 0) -> "Collectives":
        """Those of a rank of a gang of `width` that nobody has at hand: of what others would send, all is zeros.

        The work is of the shapes that the rank has in the gang, 0 having the largest share: timed on one device it
        gives the gang's compute time, so that only the collectives have to be modelled, and compiled there it leaves
        the gang's graphs. The numbers that come out mean nothing, and it can neither gather nor swap.
        """
        found = cls()
        found.width, found.rank = width, rank
        return found

    @property
    def alone(self) -> bool:
        """Whether nobody shares a sequence with it."""
        return self.width == 1

    @contextmanager
    def in_graphs(self) -> Iterator[None]:
        """Meanwhile what compiled blocks exchange goes by these: a graph is of a gang's width and of no gang."""
        token = _OF_GRAPHS.set(self)
        try:
            yield
        finally:
            _OF_GRAPHS.reset(token)

    def exchange(self, sent: Sequence[torch.Tensor], got: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
        """Send `sent[r]` to rank r and return what each rank sent here, of the shapes `got`: one all-to-all.

        Traced into a graph, it reads nothing of the rank: ranks whose shares are as large have the same graph.
        """
        source = torch.cat([piece.reshape(-1) for piece in sent])
        given = [piece.numel() for piece in sent]
        taken = [torch.Size(shape).numel() for shape in got]
        carry = _carry_of_graphs if torch.compiler.is_compiling() else self.carry
        return [piece.view(shape) for piece, shape in zip(carry(source, given, taken).split(taken), got, strict=True)]

    def carry(self, source: torch.Tensor, given: Sequence[int], taken: Sequence[int]) -> torch.Tensor:
        """Send `given[r]` numbers of `source` to rank r of the sharers, and return `taken[r]` from each, joined."""
        if self._group is None:
            return source.new_zeros(sum(taken))
        self.all_to_all = _counted(self.all_to_all, source)
        first = self.half * self.width
        return self._all_to_all(source, dict(enumerate(given, first)), dict(enumerate(taken, first)))

    def gather(self, x: torch.Tensor, dim: int, lengths: Sequence[int]) -> torch.Tensor:
        """The shares of all ranks, `lengths[r]` of rank r, put together along `dim`: one all-gather.

        gloo gathers equal sizes only, so a rank whose share is shorter than the longest fills it up with zeros.
        """
        filling = list(x.shape)
        filling[dim] = max(lengths) - x.shape[dim]
        shard = torch.cat([x, x.new_zeros(filling)], dim=dim).contiguous()
        shards = [torch.empty_like(shard) for _ in range(self._all)]
        self.all_gather = _counted(self.all_gather, x)
        dist.all_gather(shards, shard, group=self._group)
        own = shards[self.half * self.width :][: self.width]
        return torch.cat([shard.narrow(dim, 0, length) for shard, length in zip(own, lengths, strict=True)], dim)

    def swap(self, x: torch.Tensor) -> torch.Tensor:
        """What the rank of the same place in the other half has for `x`, of its shape."""
        other = (1 - self.half) * self.width + self.rank
        self.swaps = _counted(self.swaps, x)
        sizes = {other: x.numel()}
        return self._all_to_all(x.reshape(-1), sizes, sizes).view(x.shape)

    def _all_to_all(self, source: torch.Tensor, sent: dict[int, int], got: dict[int, int]) -> torch.Tensor:
        """`sent` and `got` are numbers of elements by rank of the group; nothing goes to the ranks not in them."""
        target = source.new_empty(sum(got.values()))
        taken, given = ([sizes.get(rank, 0) for rank in range(self._all)] for sizes in (got, sent))
        dist.all_to_all_single(target, source, taken, given, group=self._group)
        return target


# A graph outlives the gangs that run it, so it can hold no process group: one that is set while it runs stands in.
_OF_GRAPHS: ContextVar[Collectives] = ContextVar("Collectives.in_graphs, around what runs compiled blocks")


@custom_op("pabcast::exchange", mutates_args=())
def _carry_of_graphs(source: torch.Tensor, given: Sequence[int], taken: Sequence[int]) -> torch.Tensor:
    """`Collectives.carry` where a graph does it, which knows no process group."""
    return _OF_GRAPHS.get().carry(source, given, taken)


@_carry_of_graphs.register_fake
def _(source: torch.Tensor, given: Sequence[int], taken: Sequence[int]) -> torch.Tensor:
    return source.new_empty(sum(taken))


def _counted(count: CollectiveCount, handed: torch.Tensor) -> CollectiveCount:
    return CollectiveCount(calls=count.calls + 1, bytes=count.bytes + handed.nbytes)
