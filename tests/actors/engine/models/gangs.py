"""Real gangs for tests of denoisers: processes that form gloo groups of several widths and make the same latents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from cluster.forecast import CollectiveCount
from tests.actors.engine.ranks import run_ranks

Case = tuple[str, str, int]
"""A model, a schedule and a width."""


@dataclass(frozen=True)
class Run:
    """What a run gave rank 0."""

    latents: torch.Tensor
    all_to_all: CollectiveCount
    all_gather: CollectiveCount
    cache_peak_bytes: int
    collectives: list[int]
    """Collectives of each step that reached torch's dispatcher, whoever called them."""


def run_gangs(
    cases: Sequence[Case], run: Callable[[str, str, dist.ProcessGroup], Run], folder: Path
) -> dict[Case, Run]:
    """Run every case on processes over gloo; every rank of a gang must end with the same latents."""
    processes = max(width for _, _, width in cases)
    run_ranks(_rank, (processes, tuple(cases), run, str(folder)), processes)
    return torch.load(folder / "runs.pt", weights_only=False)


def _rank(rank: int, world: int, cases: Sequence[Case], run: Callable[..., Run], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    groups = {width: dist.new_group(list(range(width))) for width in sorted({width for _, _, width in cases})}
    runs = {}
    for name, pab, width in cases:
        dist.barrier()
        if rank < width:
            runs[name, pab, width] = _on_every_rank(run(name, pab, groups[width]), groups[width])
    if rank == 0:
        torch.save(runs, f"{folder}/runs.pt")
    dist.destroy_process_group()


def _on_every_rank(mine: Run, group: dist.ProcessGroup) -> Run:
    first = mine.latents.contiguous()
    dist.broadcast(first, group=group, group_src=0)
    assert torch.equal(first, mine.latents)
    return mine


class Collectives(TorchDispatchMode):
    """Counts the collectives that reach torch's dispatcher; knows nothing of what the code counts itself."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen += func.namespace == "c10d"
        return func(*args, **(kwargs or {}))
