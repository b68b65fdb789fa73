"""How fast two processes of this machine exchange tensors over gloo."""

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

_SIZES = (1 << 10, 1 << 22, 1 << 24)
"""Bytes that a rank hands to one all-to-all."""
_ROUNDS = 12


@dataclass(frozen=True, kw_only=True)
class Link:
    """A line through the times of all-to-alls."""

    latency_s: float
    bytes_per_s: float
    """Of what leaves the rank: half of what it hands over, as there are two."""


def measure_link() -> Link:
    """Time all-to-alls of several sizes between two processes; the best of a dozen of each."""
    with TemporaryDirectory() as folder:
        spawn(_rank, (folder,), nprocs=2)
        seconds = torch.load(Path(folder) / "seconds.pt", weights_only=True)
    smallest, *larger = seconds
    rates = [size / 2 / max(taken - smallest, 1e-9) for size, taken in zip(_SIZES[1:], larger, strict=True)]
    return Link(latency_s=smallest, bytes_per_s=min(rates))


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    seconds = [_best(size) for size in _SIZES]
    if rank == 0:
        torch.save(seconds, Path(folder) / "seconds.pt")
    dist.barrier()
    dist.destroy_process_group()


def _best(size: int) -> float:
    sent = torch.zeros(size // 4)
    got = torch.empty_like(sent)
    taken = []
    for _ in range(_ROUNDS):
        dist.barrier()
        begun = time.perf_counter()
        dist.all_to_all_single(got, sent)
        taken.append(time.perf_counter() - begun)
    return min(taken)
