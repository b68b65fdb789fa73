"""The ranks of a gang, spoken to one at a time."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from cluster.forecast import CollectiveCount


class Pending:
    """A tensor on its way; it stays alive until `wait` was called."""

    def __init__(self, work: Any, x: torch.Tensor, device: torch.device) -> None:
        """`x` is what travels; on `device` it is wanted."""
        self._work = work
        self._x = x
        self._device = device

    def wait(self) -> torch.Tensor:
        """Return it once it is sent, or has come; between GPUs the device waits, not the caller."""
        self._work.wait()
        return self._x.to(self._device)


class Peers:
    """Sends and receives between two ranks of `group`; `sent` counts what this rank hands over.

    NCCL does all of a rank's in the order they were asked for, and begins none before the one ahead of it is done:
    ranks must ask in orders that cannot wait for each other in a circle.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group
        self.rank, self.width = (0, 1) if group is None else (group.rank(), group.size())
        self._by_host = group is not None and dist.get_backend(group) == "gloo"
        """gloo sends from the host's memory only."""
        self.sent = CollectiveCount()

    def send(self, x: torch.Tensor, rank: int) -> Pending:
        """Begin to hand `x` to `rank`."""
        x = x.contiguous()
        self.sent = CollectiveCount(calls=self.sent.calls + 1, bytes=self.sent.bytes + x.nbytes)
        if self._by_host:
            x = x.cpu()
        return self._begin(dist.isend, x, rank, x.device)

    def receive(self, shape: Sequence[int], like: torch.Tensor, rank: int) -> Pending:
        """Begin to take what `rank` sends: of `shape`, and of the type and on the device of `like`."""
        x = like.new_empty(tuple(shape), device="cpu" if self._by_host else like.device)
        return self._begin(dist.irecv, x, rank, like.device)

    def _begin(self, operation: Any, x: torch.Tensor, rank: int, device: torch.device) -> Pending:
        # A batch of one: torch warns of NCCL's order when an operation comes alone.
        (work,) = dist.batch_isend_irecv([dist.P2POp(operation, x, group=self._group, group_peer=rank)])
        return Pending(work, x, device)
