"""Whether the machine at hand holds the workers of a job that starts its own Ray there."""

import os
from pathlib import Path

import psutil

from cluster.errors import ConfigError
from pipelines.commands.output import spell_bytes
from pipelines.config import ClusterConfig, Device

WORKERS_A_CORE = 8
"""More of them mostly wait for each other."""
PROCESS_BYTES = 300_000_000
"""Memory of a worker's own, of Python, torch and Ray, before it holds a model."""
_GPU = Path("/dev/nvidiactl")


def check_room(cluster: ClusterConfig, model: str, key: str = "cluster.workers") -> None:
    """Raise `ConfigError` if this machine cannot hold the workers; of an existing cluster nothing is known.

    `model` is the model's folder; `key` names the number of workers in the error.
    """
    if cluster.address is not None:
        return
    weights = (
        0 if runs_on_gpu(cluster.device) else sum(file.stat().st_size for file in Path(model).glob("*/*.safetensors"))
    )
    problem = room_problem(cluster.workers, os.cpu_count() or 1, psutil.virtual_memory().total, weights)
    if problem:
        raise ConfigError(f"{key} is {cluster.workers}, but {problem}")


def runs_on_gpu(device: Device) -> bool:
    """Whether workers of this machine with that `cluster.device` would hold their model on a GPU."""
    return device == "cuda" or (device == "auto" and _GPU.exists())


def room_problem(workers: int, cores: int, memory_bytes: int, weights_bytes: int) -> str:
    """Why a machine does not hold so many workers with `weights_bytes` of model each, or nothing."""
    by_cores = cores * WORKERS_A_CORE
    by_memory = memory_bytes // (PROCESS_BYTES + weights_bytes)
    most = min(by_cores, by_memory)
    if workers <= most:
        return ""
    way_out = f"ask for {most} or fewer, or join a cluster" if most else "take a smaller model or join a cluster"
    return (
        f"this machine holds {most} workers: {by_cores} on its {cores} cores, at {WORKERS_A_CORE} a core, "
        f"and {by_memory} in its {spell_bytes(memory_bytes)}, at {spell_bytes(PROCESS_BYTES)} a process and "
        f"{spell_bytes(weights_bytes)} of weights; {way_out}"
    )
