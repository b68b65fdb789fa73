"""A gang of this machine's CPU processes, each with a copy of an engine: what a measurement takes for a real one."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import diffusers
import torch
import torch.distributed as dist
import transformers
from torch.multiprocessing.spawn import spawn

from actors.engine.card import ModelCard
from actors.engine.engine import Engine

_Answer = TypeVar("_Answer")
_Task = Callable[[Engine, dist.ProcessGroup], object]


@dataclass(frozen=True, kw_only=True)
class _Copy:
    """What a process needs to have the same engine."""

    card: ModelCard
    dtype: str
    threads: int

    def load(self) -> Engine:
        torch.set_num_threads(self.threads)
        if self.card.revision == "random":
            return Engine.random(self.card.path, self.card.numbers, dtype=self.dtype)
        return Engine.load(self.card.path, dtype=self.dtype)


def run_gang(engine: Engine, width: int, task: Callable[[Engine, dist.ProcessGroup], _Answer]) -> _Answer:
    """Have `width` processes run `task` together, over gloo; returns what it gave rank 0.

    Each has the model of `engine` and as many threads as this process has. `task` and its answer are pickled.
    """
    dtype = str(engine.dtype).removeprefix("torch.")
    copy = _Copy(card=engine.card, dtype=dtype, threads=torch.get_num_threads())
    with TemporaryDirectory() as folder:
        spawn(_rank, (width, folder, copy, task), nprocs=width)
        answer: _Answer = pickle.loads(_answer_file(folder).read_bytes())
    return answer


def _rank(rank: int, width: int, folder: str, copy: _Copy, task: _Task) -> None:
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=width)
    group = dist.group.WORLD
    assert group is not None
    answer = task(copy.load(), group)
    if rank == 0:
        _answer_file(folder).write_bytes(pickle.dumps(answer))
    dist.barrier()
    dist.destroy_process_group()


def _answer_file(folder: str) -> Path:
    return Path(folder) / "answer.pickle"
