"""The models that a config can name: configs/models/*.yaml, and any folder in the same on-disk format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError
from pipelines.places import ROOT, config_folders
from pipelines.strict import build, nearest
from pipelines.yaml_file import read_yaml


def _sampling_values(value: object, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} is {value!r}; keys with values are wanted")
    return value


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A model's entry in configs/models."""

    id: str
    path: str
    """Its folder; a relative one starts at the folder that holds `configs/`."""
    family: str = "latte"
    """Which adapter runs it."""
    description: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict, metadata={"read": _sampling_values})
    """Sampling settings that fit it, for a job that does not say."""

    @property
    def folder(self) -> Path:
        """The folder with `model_index.json`."""
        path = Path(self.path).expanduser()
        return path if path.is_absolute() else ROOT / path


def known_models() -> dict[str, KnownModel]:
    """The models of configs/models by id, the current directory's entries before the shipped ones."""
    models: dict[str, KnownModel] = {}
    for folder in config_folders("models"):
        for file in sorted(folder.glob("*.yaml")):
            model = _load(file)
            models.setdefault(model.id, model)
    return models


def find_model(name: str) -> KnownModel:
    """The model that `name`, an id or a folder, stands for; `ConfigError` if there is none."""
    folder = Path(name).expanduser()
    if (folder / "model_index.json").is_file():
        return KnownModel(id=name, path=str(folder.resolve()))
    known = known_models()
    if name not in known:
        near = f"; the nearest known one is {nearest(name, list(known))}" if known else ""
        if folder.is_dir():
            raise ConfigError(f"model {name!r} is a folder without model_index.json; a saved LattePipeline is wanted")
        raise ConfigError(f"model {name!r} is neither a known model ({', '.join(known)}) nor a model's folder{near}")
    model = known[name]
    if not (model.folder / "model_index.json").is_file():
        raise ConfigError(f"model {name!r}: {model.folder} has no model_index.json; correct its path in configs/models")
    return model


def _load(file: Path) -> KnownModel:
    return build(KnownModel, read_yaml(file, "the model entry"), key=file.name)
