"""A model's card: what its files say of it, read without building it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    if pipeline != "LattePipeline":
        raise ConfigError(f"{folder} holds a {pipeline}; pabcast runs LattePipeline")
    numbers = _latte_numbers(_read(folder / "transformer/config.json"), _read(folder / "vae/config.json"))
    return ModelCard(path=str(folder.resolve()), pipeline=pipeline, revision=_revision(folder), numbers=numbers)


def _latte_numbers(transformer: dict[str, Any], vae: dict[str, Any]) -> ModelNumbers:
    vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
    multiple = transformer["patch_size"] * vae_scale
    return ModelNumbers(
        kinds=("spatial", "temporal", "cross"),
        num_layers=transformer["num_layers"],
        hidden_size=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        num_heads=transformer["num_attention_heads"],
        patch_size=transformer["patch_size"],
        vae_scale=vae_scale,
        latent_channels=transformer["in_channels"],
        num_frames=transformer["video_length"],
        min_edge=4 * multiple,
        max_edge=4 * transformer["sample_size"] * vae_scale,
        native_edge=transformer["sample_size"] * vae_scale,
        max_prompt_bytes=4096,
    )


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
