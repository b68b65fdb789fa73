"""A model's card: what its files say of it, read without building it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError
from cluster.model import ModelNumbers
from cluster.pab import Kind
from cluster.vae import VaeNumbers

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
    parts = ("transformer", "vae", "text_encoder")
    numbers = _latte_numbers(*(_read(folder / part / "config.json") for part in parts))
    return ModelCard(path=str(folder.resolve()), pipeline=pipeline, revision=_revision(folder), numbers=numbers)


def _latte_numbers(transformer: dict[str, Any], vae: dict[str, Any], text: dict[str, Any]) -> ModelNumbers:
    decoder = VaeNumbers(
        channels=tuple(vae["block_out_channels"]),
        layers_per_block=vae["layers_per_block"],
        latent_channels=vae["latent_channels"],
        attention=vae.get("mid_block_add_attention", True),
    )
    return ModelNumbers(
        num_layers=transformer["num_layers"],
        hidden_size=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        num_heads=transformer["num_attention_heads"],
        patch_size=transformer["patch_size"],
        latent_channels=transformer["in_channels"],
        text_width=text["d_model"],
        text_parameters=_t5_parameters(text),
        vae=decoder,
        num_frames=transformer["video_length"],
        min_edge=4 * transformer["patch_size"] * decoder.scale,
        max_edge=4 * transformer["sample_size"] * decoder.scale,
        native_edge=transformer["sample_size"] * decoder.scale,
        max_prompt_bytes=4096,
    )


def _t5_parameters(text: dict[str, Any]) -> int:
    """Of the layers' matrices; the embeddings are looked up, not multiplied."""
    gated = 3 if text.get("is_gated_act") else 2
    width, attention = text["d_model"], text["num_heads"] * text["d_kv"]
    return int(text["num_layers"] * width * (4 * attention + gated * text["d_ff"]))


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
