"""Loads a model from the folder its authors published, checked key by key."""

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import ModelMixin
from safetensors.torch import load_file

from cluster.errors import ConfigError

Model = TypeVar("Model", bound=ModelMixin)

_NAMED = 5


def load_published(model_class: type[Model], folder: Path, dtype: torch.dtype = torch.float32) -> Model:
    """The model in `folder`, its `config.json` and `model.safetensors`, with weights of `dtype`, for inference.

    Of the config, what `model_class` does not know is left alone: how the authors trained and which kernels they used.

    Raises:
        ConfigError: a file is not there, or keys are missing, unexpected or of another shape.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise ConfigError(f"{folder} has no {name}; it must hold the files that the model's authors published")
    config = json.loads((folder / "config.json").read_text())
    known = inspect.signature(model_class.__init__).parameters
    with torch.device("meta"):
        model = model_class(**{key: value for key, value in config.items() if key in known})
    weights = {key: value.to(dtype) for key, value in load_file(folder / "model.safetensors").items()}
    _check(folder, model.state_dict(), weights)
    model.load_state_dict(weights, assign=True)
    return model.eval()


def _check(folder: Path, wanted: dict[str, torch.Tensor], got: dict[str, torch.Tensor]) -> None:
    shapes = [
        f"{key} {tuple(got[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & got.keys())
        if wanted[key].shape != got[key].shape
    ]
    faults = {
        "missing": sorted(wanted.keys() - got.keys()),
        "unexpected": sorted(got.keys() - wanted.keys()),
        "of another shape": shapes,
    }
    found = [f"{len(keys)} {fault}: {_named(keys)}" for fault, keys in faults.items() if keys]
    if found:
        raise ConfigError(f"{folder / 'model.safetensors'} is of another model; keys " + "; ".join(found))


def _named(keys: Iterable[str]) -> str:
    """The first of `keys`, and how many more there are."""
    named = list(keys)
    rest = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + rest
