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


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model on disk."""

    path: str
    """Its folder, in the layout of a diffusers pipeline."""
    pipeline: str
    """The diffusers pipeline class it names."""
    revision: str
    """12 hex digits over its files' names, sizes and both ends of each (1 MiB)."""
    numbers: ModelNumbers

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Its kinds of attention."""
        return self.numbers.kinds


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
    numbers = READERS[pipeline](index, *parts.values())
    return ModelCard(path=str(folder.resolve()), pipeline=pipeline, revision=_revision(folder), numbers=numbers)


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
