"""A model's card: what its files say of it, read without building it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.engine.published_numbers import READERS
from cluster.errors import ConfigError
from cluster.model import ModelNumbers
from cluster.pab import Kind

_ENDS_READ = 1 << 20
_PARTS = ("text_encoder", "tokenizer", "transformer", "vae")
_WEIGHED = ("text_encoder", "transformer", "vae")
_TRANSFORMERS = {
    "CogVideoXPipeline": "CogVideoXTransformer3DModel",
    "LattePipeline": "LatteTransformer3DModel",
    "WanPipeline": "WanTransformer3DModel",
}
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
        ConfigError: no such folder, not a diffusers pipeline, or a family that pabcast does not run.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigError(f"there is no model folder {folder}; `pabcast models` lists the known ones")
    index = _read(folder / "model_index.json")
    pipeline = str(index.get("_class_name"))
    if pipeline not in READERS:
        raise ConfigError(f"{folder} holds a {pipeline}; pabcast runs {', '.join(READERS)}")
    parts = {part: _read(folder / part / "config.json") for part in ("transformer", "vae", "text_encoder")}
    wanted = _TRANSFORMERS.get(pipeline)
    if wanted and parts["transformer"].get("_class_name", wanted) != wanted:
        other = parts["transformer"]["_class_name"]
        raise ConfigError(f"{folder} says {pipeline} in model_index.json and holds a {other}; {wanted} is wanted")
    numbers = READERS[pipeline](index, *parts.values())
    return ModelCard(path=str(folder.resolve()), pipeline=pipeline, revision=_revision(folder), numbers=numbers)


def check_weights(card: ModelCard) -> None:
    """Raise `ConfigError` unless each part of the model has weights that can be read."""
    for part in _WEIGHED:
        folder = Path(card.path) / part
        if not any(folder.glob("*.safetensors")):
            others = sorted(file.name for file in folder.glob("*.bin"))
            found = f", only {', '.join(others[:3])}" if others else ""
            raise ConfigError(f"{folder} has no .safetensors file{found}; weights are read from safetensors alone")


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{file} is missing; a model is a folder that a diffusers pipeline saved") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    return content


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
