"""A model's card: what its files say of it, read without building it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.engine.published_numbers import READERS
from cluster.errors import ConfigError
from cluster.model import ModelNumbers
from cluster.pab import Kind

_ENDS_READ = 1 << 20
_PARTS = ("text_encoder", "tokenizer", "transformer", "vae")
_WEIGHED = ("transformer", "vae", "text_encoder")
"""Each has a config.json and weights; in the order in which `READERS` take the configs."""
_CLASSES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "CogVideoXPipeline": {"transformer": ("CogVideoXTransformer3DModel",), "vae": ("AutoencoderKLCogVideoX",)},
    "LattePipeline": {"transformer": ("LatteTransformer3DModel",), "vae": ("AutoencoderKL",)},
    "OpenSoraPipeline": {"vae": ("AutoencoderKLOpenSora",)},
    "OpenSoraPlanPipeline": {"vae": ("CausalVAEModel", "AutoencoderKLOpenSoraPlan")},
    "WanPipeline": {"transformer": ("WanTransformer3DModel",), "vae": ("AutoencoderKLWan",)},
}
"""By pipeline and part, what the part's config.json may name as its class."""
_TEXT_ENCODERS = {"WanPipeline": "umt5"}
"""The text encoder's `model_type`, where it is not T5's."""
_SAVE_AGAIN = "save the whole pipeline there again"
_WITHOUT_SCHEDULER = {"OpenSoraPipeline", "OpenSoraPlanPipeline"}


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model on disk."""

    path: str
    """Its folder, with a folder for each of its `parts`."""
    pipeline: str
    """The pipeline class that its model_index.json names: diffusers', or one of those that it lacks."""
    revision: str
    """12 hex digits over its files' names, sizes and both ends of each (1 MiB)."""
    numbers: ModelNumbers

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Its kinds of attention."""
        return self.numbers.kinds

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders that a whole model has; where its authors published no scheduler's, none is needed."""
        return _PARTS if self.pipeline in _WITHOUT_SCHEDULER else ("scheduler", *_PARTS)


def inspect_model(path: str | Path) -> ModelCard:
    """Read the card of the model in the folder `path`.

    Raises:
        ConfigError: no such folder, not a diffusers pipeline, a family that pabcast does not run, a part of another
            model, or numbers that are missing or none that a model can have.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigError(f"there is no model folder {folder}; `pabcast models` lists the known ones")
    index = _read(folder / "model_index.json")
    pipeline = str(index.get("_class_name"))
    if pipeline not in READERS:
        raise ConfigError(f"{folder} holds a {pipeline}; pabcast runs {', '.join(READERS)}")
    parts = {part: _read(folder / part / "config.json") for part in _WEIGHED}
    for part, wanted in _CLASSES[pipeline].items():
        _check_named(folder / part, pipeline, parts[part].get("_class_name", wanted[0]), wanted)
    try:
        _check_text_encoder(folder / "text_encoder", pipeline, parts["text_encoder"])
        numbers = READERS[pipeline](index, *parts.values())
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"a json file of {folder} is not what diffusers saves ({error}); {_SAVE_AGAIN}") from error
    return ModelCard(path=str(folder.resolve()), pipeline=pipeline, revision=_revision(folder), numbers=numbers)


def check_weights(card: ModelCard) -> None:
    """Raise `ConfigError` unless each part of the model has weights that can be read."""
    for part in _WEIGHED:
        folder = Path(card.path) / part
        if not any(folder.glob("*.safetensors")):
            others = sorted(file.name for file in folder.glob("*.bin"))
            found = f", only {', '.join(others[:3])}" if others else ""
            raise ConfigError(f"{folder} has no .safetensors file{found}; weights are read from safetensors alone")


class _Saved(dict[str, Any]):
    """A json file's content, which tells what it lacks."""

    def __init__(self, file: Path, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self._file = file

    def __missing__(self, key: str) -> Any:
        raise ConfigError(f"{self._file} lacks {key}; {_SAVE_AGAIN}")


def _check_named(part: Path, pipeline: str, name: object, wanted: tuple[str, ...]) -> None:
    if name not in wanted:
        raise ConfigError(
            f"{part.parent} says {pipeline} in model_index.json and its {part.name} is of {name}; "
            f"{' or '.join(wanted)} is wanted"
        )


def _check_text_encoder(part: Path, pipeline: str, config: Mapping[str, Any]) -> None:
    """Its type where its config says it, and its class, which may be that of the whole model or of its encoder."""
    kind = _TEXT_ENCODERS.get(pipeline, "t5")
    _check_named(part, pipeline, config.get("model_type", kind), (kind,))
    name = kind.upper()
    wanted = (f"{name}EncoderModel", f"{name}ForConditionalGeneration", f"{name}Model", f"{name}WithLMHeadModel")
    for architecture in config.get("architectures") or ():
        _check_named(part, pipeline, architecture, wanted)


def _read(file: Path) -> _Saved:
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{file} is missing; a model is a folder that a diffusers pipeline saved") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} is not what diffusers saves, which is an object; {_SAVE_AGAIN}")
    return _Saved(file, content)


def _revision(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix not in {".json", ".safetensors"}:
            continue
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()}:{size}\n".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_ENDS_READ))
            stream.seek(max(size - _ENDS_READ, 0))
            digest.update(stream.read(_ENDS_READ))
    return digest.hexdigest()[:12]
