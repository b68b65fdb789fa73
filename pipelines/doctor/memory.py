"""The memory of this machine, or of the container that this is."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipelines.commands.output import spell_bytes
from pipelines.doctor.finding import Finding, failed, ok, warning
from pipelines.doctor.model import weights_bytes
from pipelines.doctor.wanted import Wanted
from pipelines.local_room import PROCESS_BYTES, room_problem, runs_on_gpu

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """In bytes."""

    total: int
    available: int


def look_at_memory(wanted: Wanted) -> list[Finding]:
    """The line `memory`."""
    weights = 0 if runs_on_gpu(wanted.device) or wanted.address else weights_bytes(wanted)
    return [judge_memory(read_memory(), os.cpu_count() or 1, wanted.workers, weights)]


def read_memory(cgroups: Path = CGROUPS) -> Memory:
    """What the machine has and what of it is free, within the container's limit if there is one."""
    machine = psutil.virtual_memory()
    limit, used = _read_cgroup(cgroups)
    if limit is None or limit >= machine.total:
        return Memory(total=machine.total, available=machine.available)
    return Memory(total=limit, available=max(0, min(machine.available, limit - used)))


def judge_memory(memory: Memory, cores: int, workers: int, weights: int) -> Finding:
    """Whether so many workers with `weights` bytes of model each fit."""
    found = f"{spell_bytes(memory.available)} of {spell_bytes(memory.total)} free, {cores} cores"
    problem = room_problem(workers, cores, memory.total, weights)
    if problem:
        reason, _, way_out = problem.partition("; ")
        return failed("memory", f"{workers} workers are wanted, but {reason}", way_out)
    need = workers * (PROCESS_BYTES + weights)
    if memory.available < need:
        arithmetic = f"{workers} x ({spell_bytes(PROCESS_BYTES)} a process + {spell_bytes(weights)} of weights)"
        return warning("memory", f"{found}; wanted: {arithmetic}", "end what else holds it, or ask for fewer workers")
    return ok("memory", found)


def _read_cgroup(root: Path) -> tuple[int | None, int]:
    """The container's limit, None without one, and what it uses without the files that are cached, in bytes."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        text = _read(root / limit)
        if text.isdigit():
            stat = dict(line.split(" ", 1) for line in _read((root / limit).with_name("memory.stat")).splitlines())
            return int(text), int(_read(root / used) or 0) - int(stat.get(cached, 0))
    return None, 0


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
