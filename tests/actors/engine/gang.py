"""Real gangs for tests: processes that form gloo groups of several widths and make the same videos."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from actors.engine import Engine, RunOptions, SnapshotPart, VideoRequest, join_parts
from tests.actors.engine.ranks import run_ranks


@dataclass(frozen=True)
class Case:
    """One request on a gang of one width."""

    name: str
    width: int
    request: VideoRequest
    options: RunOptions
    resume_of: str = ""
    """Go on from the first snapshot of that earlier case's second half; two ranks ran it."""
    model: Path | None = None
    """Its folder, if it is not the one that `run_gangs` is given."""


def run_gangs(
    model: Path,
    cases: list[Case],
    folder: Path,
    processes: int = 4,
    device: str = "cpu",
    dtype: str = "float32",
    backend: str = "gloo",
    *,
    compiled: bool = False,
) -> dict[str, dict[str, object]]:
    """Run each case on a group of its width; returns what rank 0 and the others of each gave.

    By gloo all ranks are on one `device`, by NCCL each has a GPU.
    """
    start = "forkserver" if device == "cpu" else "spawn"  # CUDA does not outlive a fork
    run_ranks(_rank, (processes, str(model), cases, str(folder), device, dtype, backend, compiled), processes, start)
    return {case.name: torch.load(folder / f"{case.name}.pt", weights_only=False) for case in cases}


def _rank(
    rank: int,
    world: int,
    model: str,
    cases: list[Case],
    folder: str,
    device: str,
    dtype: str,
    backend: str,
    compiled: bool,
) -> None:
    torch.set_num_threads(1)
    if backend == "nccl":
        torch.cuda.set_device(rank)
    dist.init_process_group(backend, init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    groups = {width: dist.new_group(list(range(width))) for width in {case.width for case in cases}}
    paths = {str(case.model or model) for case in cases}
    engines = {path: Engine.load(path, device=device, dtype=dtype, compiled=compiled) for path in paths}
    for case in cases:
        dist.barrier()
        if rank < case.width:
            _run(engines[str(case.model or model)], case, groups[case.width], rank, folder)
    dist.destroy_process_group()


class _AllToAlls(TorchDispatchMode):
    """Counts the all-to-alls that reach torch's dispatcher; knows nothing of what the engine counts itself."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen += func is torch.ops.c10d.alltoall_base_.default
        return func(*args, **(kwargs or {}))


def _run(engine: Engine, case: Case, group: dist.ProcessGroup, rank: int, folder: str) -> None:
    exchanges: list[int] = []
    snapshots: list[SnapshotPart] = []
    resume = None
    if case.resume_of:
        taken = torch.load(f"{folder}/{case.resume_of}.pt", weights_only=False)["snapshots"]
        late = [part for part in taken if case.request.steps // 2 <= part.step]
        resume = join_parts(part for part in late if part.step == late[0].step)
    with _AllToAlls() as calls:
        output = engine.generate(
            case.request,
            options=case.options,
            group=group,
            on_step=lambda step: exchanges.append(calls.seen),
            resume=resume,
            on_snapshot=snapshots.append,
        )
    parts: list[object] = [None] * case.width
    dist.all_gather_object(parts, (output.first_frame, output.frames), group=group)
    everyones: list[object] = [None] * case.width
    dist.all_gather_object(everyones, snapshots, group=group)
    if rank == 0:
        frames = np.concatenate([frames for _, frames in sorted(parts, key=lambda part: part[0])])
        per_step = np.diff([0, *exchanges]).tolist()
        result = {"latents": output.latents, "frames": frames, "report": output.report, "exchanges": per_step}
        result |= {"snapshots": [part for ranks in everyones for part in ranks], "resumed_at": resume and resume.step}
        torch.save(result, f"{folder}/{case.name}.pt")
