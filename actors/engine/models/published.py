"""Models read strictly from the folders that their authors published."""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from safetensors.torch import load_file

from actors.engine.keys import spell_faults
from actors.engine.part_errors import told_of
from cluster.errors import ConfigError

_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "diffusion_pytorch_model.safetensors")


class PublishedModel(ModelMixin):
    """A diffusers model that also reads what its authors published, key by key; it goes first among the bases."""

    fixed_settings: ClassVar[Mapping[str, object]] = {}
    """Settings of the published config.json that the class has built in; another value is another architecture."""
    training_keys: ClassVar[Sequence[str]] = ()
    """What the keys begin with that only training used; they are passed over."""

    @classmethod
    def from_published(cls, folder: Path, dtype: torch.dtype = torch.float32) -> Self:
        """The model in `folder`, its `config.json` and its one file of safetensors, in `dtype` and for inference.

        Settings that the class neither takes nor has built in are left alone: how the authors trained, which kernels
        they used.

        Raises:
            ConfigError: a file is not there, a built-in setting has another value, or keys are missing, unexpected
                or of another shape, or the files cannot be read.
        """
        config, file = _file(folder, _CONFIG), _file(folder, *_WEIGHTS)
        with told_of(folder):
            settings = cls._settings(json.loads(config.read_text()))
            # Only parameters: a buffer that is not in the file, such as fixed positions, must come out computed.
            with init_empty_weights(include_buffers=False):
                model = cls(**settings)
            unread = tuple(cls.training_keys)
            weights = {key: value.to(dtype) for key, value in load_file(file).items() if not key.startswith(unread)}
        if faults := _faults(model.state_dict(), weights):
            raise ConfigError(f"{file} is of another model than {cls.__name__}; keys {faults}")
        model.load_state_dict(weights, assign=True)
        return model.eval()

    @classmethod
    def _settings(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        for name, value in cls.fixed_settings.items():
            if config.get(name, value) != value:
                raise ConfigError(f"{name} is {config[name]!r} in {_CONFIG}; {cls.__name__} has {value!r}")
        taken = inspect.signature(cls.__init__).parameters
        return {name: value for name, value in config.items() if name in taken}


def _file(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(
        f"{folder} has no {' or '.join(names)}; it must hold the files that the model's authors published"
    )


def _faults(wanted: Mapping[str, torch.Tensor], got: Mapping[str, torch.Tensor]) -> str:
    """What is wrong with the keys that a file has; empty if nothing is."""
    shapes = [
        f"{key} {tuple(got[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted.keys() & got.keys()
        if wanted[key].shape != got[key].shape
    ]
    missing, unexpected = list(wanted.keys() - got.keys()), list(got.keys() - wanted.keys())
    return spell_faults({"missing": missing, "unexpected": unexpected, "of another shape": shapes})
