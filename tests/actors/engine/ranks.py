"""Processes for tests of gangs: forked from a server that has imported what every rank needs, once a session."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

_IMPORTED_ONCE = ["torch.distributed", "actors.engine.engine"]


def run_ranks(rank: Callable[..., None], arguments: tuple[Any, ...], processes: int, start: str = "forkserver") -> None:
    """Run `rank(number, *arguments)` in so many processes; the first that fails ends them all and is raised."""
    multiprocessing.set_forkserver_preload(_IMPORTED_ONCE)
    mp.start_processes(rank, arguments, nprocs=processes, start_method=start)
