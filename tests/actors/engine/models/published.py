"""Small checkpoints in the layout that Open-Sora's authors published, with the golden files' weights."""

import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str) -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / f"{name}.safetensors")


def config(name: str) -> dict[str, object]:
    return json.loads((GOLDEN / f"{name}.json").read_text())["config"]


def weights(name: str) -> dict[str, torch.Tensor]:
    """Under the keys and of the shapes that the authors' own class has, by the rule in golden/README.md."""
    shapes = json.loads((GOLDEN / f"{name}.json").read_text())["shapes"]
    return {key: _given(name, key) if key in _GIVEN else _drawn(key, shape) for key, shape in shapes.items()}


def published_folder(folder: Path, name: str, **changed: torch.Tensor | None) -> Path:
    """Write the checkpoint `name` in `folder`; a key in `changed` is replaced, or left out for None."""
    tensors = {key: value for key, value in (weights(name) | changed).items() if value is not None}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config(name)))
    return folder


_GIVEN = {"rope.freqs", "scale", "shift"}


def _given(name: str, key: str) -> torch.Tensor:
    settings = config(name)
    if key == "rope.freqs":
        head = settings["hidden_size"] // settings["num_heads"]
        return 1 / 10000 ** (torch.arange(0, head, 2).float() / head)
    return torch.tensor(settings[key]).reshape(1, -1, 1, 1, 1)


def _drawn(key: str, shape: list[int]) -> torch.Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if len(shape) > 1:
        return noise / noise[0].numel() ** 0.5
    return noise / 10 + (1.0 if "norm" in key and key.endswith("weight") else 0.0)
