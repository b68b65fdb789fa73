"""How the ranks of a gang meet: one store on rank 0, one process group."""

import datetime
import os
import socket
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from actors.seat import Seat


class Rendezvous:
    """The process group of one process, at most one at a time."""

    def __init__(self, address: str, device: str) -> None:
        self._address = address
        self._device = device
        self._store: Any = None
        self.group: dist.ProcessGroup | None = None

    def open_store(self, width: int, timeout_s: float) -> tuple[str, int]:
        """On rank 0: listen on a port the system picks; return (address, port)."""
        self.leave()
        self._store = TCPStore(
            self._address,
            0,
            width,
            is_master=True,
            timeout=datetime.timedelta(seconds=timeout_s),
            wait_for_workers=False,
        )
        return self._address, self._store.port

    def join(self, seat: Seat) -> None:
        """Form the process group; returns when all ranks are in it."""
        timeout = datetime.timedelta(seconds=seat.timeout_s)
        if seat.rank:
            self.leave()
            self._store = TCPStore(
                seat.host, seat.port, seat.width, is_master=False, timeout=timeout, wait_for_workers=False
            )
        use_interface_of(self._address)
        dist.init_process_group(
            backend="nccl" if self._device == "cuda" else "gloo",
            store=PrefixStore(f"gang-{seat.generation}", self._store),
            rank=seat.rank,
            world_size=seat.width,
            timeout=timeout,
            device_id=torch.device(self._device, torch.cuda.current_device()) if self._device == "cuda" else None,
        )
        self.group = dist.group.WORLD

    def leave(self) -> None:
        """Destroy the group and the store, if there are any."""
        if dist.is_initialized():
            dist.destroy_process_group()
        self.group = None
        self._store = None


def use_interface_of(address: str) -> None:
    """Make gloo use the network interface with `address`: a host's name may resolve to another one."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.family == socket.AF_INET and entry.address == address for entry in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
