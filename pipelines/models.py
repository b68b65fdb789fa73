"""The models that a config can name: configs/models/*.yaml, and any folder in the same on-disk format."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.engine import ModelCard, check_weights, inspect_model
from cluster.errors import ConfigError
from cluster.model import ModelNumbers
from cluster.sampler import SamplerNumbers
from pipelines.given_paths import user_path
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
    pab: str | None = None
    """The preset of configs/pab that fits it: what its authors or PAB's chose for it."""
    sampling: Mapping[str, Any] = field(default_factory=dict, metadata={"read": _sampling_values})
    """Sampling settings that fit it, for a job that does not say."""
    numbers: ModelNumbers | None = None
    """For a model whose files need not be here: what is needed to plan it."""
    sampler: SamplerNumbers | None = None
    """Likewise the places of its steps."""

    @property
    def is_here(self) -> bool:
        """Whether its files are."""
        return (self.folder / "model_index.json").is_file()

    @property
    def folder(self) -> Path:
        """The folder with `model_index.json`."""
        path = user_path(self.path, f"the path of model {self.id}")
        return path if path.is_absolute() else ROOT / path


def known_models() -> dict[str, KnownModel]:
    """The models of configs/models by id, the current directory's entries before the shipped ones."""
    models: dict[str, KnownModel] = {}
    for entry in _entries():
        if isinstance(entry, KnownModel):
            models.setdefault(entry.id, entry)
    return models


def left_out() -> list[str]:
    """Why files of configs/models are no entries, a sentence each: the current directory's may be another project's."""
    return [str(entry) for entry in _entries() if isinstance(entry, ConfigError)]


def find_model(name: str) -> KnownModel:
    """The model that `name`, an id or a folder, stands for, its files at hand; `ConfigError` if there is none."""
    model = known_model(name)
    if not model.is_here:
        raise ConfigError(f"model {name!r}: {model.folder} has no model_index.json; correct its path in configs/models")
    return model


def known_model(name: str) -> KnownModel:
    """The model that `name`, an id or a folder, stands for, whether or not its files are here."""
    folder = user_path(name, "model")
    if (folder / "model_index.json").is_file():
        return KnownModel(id=name, path=str(folder.resolve()))
    known = known_models()
    if name not in known:
        near = f"; the nearest known one is {nearest(name, list(known))}" if known else ""
        if folder.is_dir():
            raise ConfigError(
                f"model {name!r} is a folder without model_index.json; a saved diffusers pipeline is wanted"
            )
        unread = "".join(f"; left out: {problem}" for problem in left_out()[:1])
        raise ConfigError(
            f"model {name!r} is neither a known model ({', '.join(known)}) nor a model's folder{near}{unread}"
        )
    return known[name]


def read_card(model: KnownModel) -> ModelCard:
    """The card of `model`; raises as `inspect_model`, and `ConfigError` if its folder is not whole."""
    card = inspect_model(model.folder)
    for part in card.parts:
        if not (model.folder / part).is_dir():
            raise ConfigError(f"{model.folder} has no folder {part}; save the whole pipeline there again")
    return card


def read_whole_card(model: KnownModel) -> ModelCard:
    """The card of a `model` that is to be loaded; raises as `read_card`, and `ConfigError` if it has no weights."""
    card = read_card(model)
    check_weights(card)
    return card


def _entries() -> Iterator[KnownModel | ConfigError]:
    for folder in config_folders("models"):
        for file in sorted(folder.glob("*.yaml")):
            try:
                yield build(KnownModel, read_yaml(file, "the model entry"), key=str(file))
            except ConfigError as error:
                yield error
