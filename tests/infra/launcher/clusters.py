"""The launcher's files as Ray reads them."""

import shlex
from pathlib import Path
from typing import Any

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.demand import Demand
from pipelines.places import ROOT

CLOUDS = ("aws", "gcp")
SIZES = (1, 4, 8)
"""GPUs of a node."""

Values = dict[str, Any]


def cluster_file(cloud: str) -> Path:
    return ROOT / f"infra/launcher/{cloud}.yaml"


def read(cloud: str) -> Values:
    """The file as it stands."""
    values: Values = yaml.safe_load(cluster_file(cloud).read_text())
    return values


def checked(values: Values) -> Values:
    """With Ray's defaults, after its own check, as `ray up` does it."""
    config: Values = prepare_config(values)
    validate_config(config)
    return config


def gpu_types(config: Values) -> dict[str, Values]:
    """The node types with GPUs, by name."""
    return {name: kind for name, kind in config["available_node_types"].items() if "GPU" in kind["resources"]}


def domain(workers: int) -> Demand:
    """What a job on GPUs asks for: actors.spec.PoolSpec.demand."""
    return Demand(workers=workers, bundle=(("GPU", 1.0), ("CPU", 1.0)))


def start_arguments(commands: list[str]) -> list[str]:
    """The arguments of the one `ray start` among shell commands."""
    starts = [part.strip() for command in commands for part in command.split(";") if "ray start" in part]
    (start,) = starts
    return shlex.split(start)[2:]
