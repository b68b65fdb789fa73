"""Small random causal decoders of the true layers, and gangs that decode with them: of threads, and of processes."""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan

from actors.engine.families.cogvideox import CogVideoX
from actors.engine.families.family import Family
from actors.engine.families.wan import Wan
from actors.engine.peers import Peers, Pending
from tests.actors.engine.ranks import run_ranks

TIME_LAYERS = {"cogvideox": 22, "wan": 24}
"""Convolutions over time in a decoder."""
_DEADLOCK_S = 20.0


def model(name: str, channels: int = 4) -> Family:
    """A family with nothing but its decoder, of four stages, the finest of so many channels."""
    torch.manual_seed(0)
    if name == "wan":
        stats = {"latents_mean": [0.1, -0.2, 0.3, -0.4], "latents_std": [1.5, 2.5, 0.5, 1.0]}
        vae = AutoencoderKLWan(base_dim=channels, z_dim=4, dim_mult=[1, 2, 4, 4], num_res_blocks=1, **stats)
    else:
        vae = AutoencoderKLCogVideoX(
            block_out_channels=[channels * multiple for multiple in (1, 2, 2, 4)],
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=4,
        )
    family = object.__new__({"wan": Wan, "cogvideox": CogVideoX}[name])
    family.parts = SimpleNamespace(vae=vae.eval().requires_grad_(False))
    return family


def latents(frames: int, height: int = 3, width: int = 4) -> torch.Tensor:
    """(1, 4, frames, height, width)."""
    return torch.randn(1, 4, frames, height, width, generator=torch.Generator().manual_seed(frames))


@torch.no_grad()
def decode(family: Family, latent_frames: int, peers: Peers) -> np.ndarray:
    """What a rank gets; the video is its frames from 0."""
    frames, first = family.decode(latents(latent_frames), peers)
    assert first == 0
    return frames


class Exchange:
    """Does each rank's sends and receives strictly in their order and only face to face, as NCCL may."""

    def __init__(self, width: int) -> None:
        self._changed = threading.Condition()
        self._asked: list[deque[_Operation]] = [deque() for _ in range(width)]

    def ask(self, rank: int, operation: "_Operation") -> None:
        with self._changed:
            self._asked[rank].append(operation)
            while self._do_one():
                pass
            self._changed.notify_all()

    def wait(self, operation: "_Operation") -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: operation.done, _DEADLOCK_S), "the ranks wait for each other"

    def _do_one(self) -> bool:
        for rank, queue in enumerate(self._asked):
            if not queue or not queue[0].sends or not self._asked[queue[0].peer]:
                continue
            sending, taking = queue[0], self._asked[queue[0].peer][0]
            if not taking.sends and taking.peer == rank:
                assert taking.x.shape == sending.x.shape
                taking.x.copy_(sending.x)
                for operation in (queue.popleft(), self._asked[sending.peer].popleft()):
                    operation.done = True
                return True
        return False


class _Operation:
    def __init__(self, exchange: Exchange, x: torch.Tensor, peer: int, *, sends: bool) -> None:
        self.x, self.peer, self.sends, self.done = x, peer, sends, False
        self._exchange = exchange

    def wait(self) -> None:
        self._exchange.wait(self)


class ThreadPeers(Peers):
    """A rank that is a thread of this process."""

    def __init__(self, rank: int, width: int, exchange: Exchange) -> None:
        super().__init__()
        self.rank, self.width, self._exchange = rank, width, exchange
        self._sending: WeakSet[Pending] = WeakSet()
        self.most_sending = 0
        """Tensors kept at once because they are on their way to another rank."""

    def _begin(self, operation: Any, x: torch.Tensor, rank: int, device: torch.device) -> Pending:
        asked = _Operation(self._exchange, x, rank, sends=operation is dist.isend)
        self._exchange.ask(self.rank, asked)
        pending = Pending(asked, x, device)
        if asked.sends:
            self._sending.add(pending)
            self.most_sending = max(self.most_sending, len(self._sending))
        return pending


def in_threads(name: str, latent_frames: int, width: int) -> tuple[list[np.ndarray], list[Peers]]:
    """What each rank of a gang of threads gets, and the ranks."""
    exchange = Exchange(width)
    ranks = [ThreadPeers(rank, width, exchange) for rank in range(width)]
    copies = [model(name) for _ in ranks]
    with ThreadPoolExecutor(width) as pool:
        return list(pool.map(decode, copies, [latent_frames] * width, ranks)), ranks


def in_processes(cases: list[tuple[str, int, int]], folder: Path) -> dict[tuple[str, int, int], np.ndarray]:
    """What rank 0 gets over gloo, by (name, latent frames, width)."""
    processes = max(width for _, _, width in cases)
    run_ranks(_rank, (processes, cases, str(folder)), processes)
    return torch.load(folder / "frames.pt", weights_only=False)


def _rank(rank: int, world: int, cases: list[tuple[str, int, int]], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    groups = {width: dist.new_group(list(range(width))) for width in sorted({width for _, _, width in cases})}
    made = {}
    for name, latent_frames, width in cases:
        if rank < width:
            made[name, latent_frames, width] = decode(model(name), latent_frames, Peers(groups[width]))
    if rank == 0:
        torch.save(made, f"{folder}/frames.pt")
    dist.barrier()
    dist.destroy_process_group()
