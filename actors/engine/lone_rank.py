"""One rank of a gang that nobody has at hand."""

from collections.abc import Sequence

import torch

from actors.engine.collectives import Collectives


class LoneRank(Collectives):
    """A rank of a gang of `width`, 0 having the largest share; of what others would send, all is zeros.

    The work is of the shapes that the rank has in the gang: timed on one device it gives the gang's compute time, so
    that only the collectives have to be modelled, and compiled there it leaves the gang's graphs. The numbers that
    come out mean nothing.
    """

    def __init__(self, width: int, rank: int = 0) -> None:
        super().__init__()
        self.width, self.rank = width, rank

    def exchange(self, sent: Sequence[torch.Tensor], got: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
        """Zeros of the shapes `got`."""
        return [sent[0].new_zeros(shape) for shape in got]

    def gather(self, x: torch.Tensor, dim: int, lengths: Sequence[int]) -> torch.Tensor:
        """Its share at its place among zeros."""
        size = list(x.shape)
        size[dim] = sum(lengths)
        joined = x.new_zeros(size)
        joined.narrow(dim, sum(lengths[: self.rank]), lengths[self.rank]).copy_(x)
        return joined

    def swap(self, x: torch.Tensor) -> torch.Tensor:
        """`x` itself."""
        return x
