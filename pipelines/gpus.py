"""The GPUs that a plan can name: configs/gpus/*.yaml; and measured calibrations."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from cluster.calibration import Calibration
from cluster.errors import ConfigError
from cluster.gpu import GpuSpec
from pipelines.places import config_folders
from pipelines.strict import build, nearest
from pipelines.yaml_file import read_yaml


def known_gpus() -> dict[str, GpuSpec]:
    """The GPUs of configs/gpus by id, the current directory's entries before the shipped ones."""
    gpus: dict[str, GpuSpec] = {}
    for folder in config_folders("gpus"):
        for file in sorted(folder.glob("*.yaml")):
            gpu = build(GpuSpec, read_yaml(file, "the GPU entry"), key=file.name)
            gpus.setdefault(gpu.id, gpu)
    return gpus


def find_gpu(name: str) -> GpuSpec:
    """The GPU called `name`; `ConfigError` if there is none."""
    known = known_gpus()
    if name not in known:
        raise ConfigError(
            f"gpu is {name!r}; the nearest known one is {nearest(name, list(known))} ({', '.join(known)})"
        )
    return known[name]


def gpu_of(accelerators: Sequence[str]) -> str | None:
    """The id of the entry for the first of these that has one; Ray's names of accelerators are ours in capitals."""
    known = known_gpus()
    return next((name.lower() for name in accelerators if name.lower() in known), None)


def load_calibration(path: str) -> Calibration:
    """The calibration in the JSON file at `path`; `ConfigError` if it holds none."""
    try:
        return build(Calibration, json.loads(Path(path).read_text()), key="")
    except OSError as error:
        raise ConfigError(f"calibration {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"calibration {path} is not JSON: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"calibration {path}: {error}; `pabcast bench calibrate --out` writes such a file") from error


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write `calibration` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(calibration), indent=1) + "\n")
