"""What the authors' code computed, and a checkpoint as they publish it with the weights it computed that with."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

GOLDEN = Path(__file__).parents[2] / "golden/open_sora_plan"


def golden(name: str) -> dict[str, torch.Tensor]:
    """Inputs and outputs of a case."""
    return load_file(GOLDEN / f"{name}.safetensors")


def save_published(
    folder: Path,
    name: str,
    *,
    settings: Mapping[str, Any] | None = None,
    shapes: Mapping[str, Sequence[int] | None] | None = None,
) -> Path:
    """Save the weights of a case in the published layout, some settings and shapes changed; None drops a tensor."""
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    (folder / "config.json").write_text(json.dumps(case["config"] | dict(settings or {})))
    wanted = {key: shape for key, shape in (case["shapes"] | dict(shapes or {})).items() if shape is not None}
    tensors = {key: seeded(key, shape) for key, shape in wanted.items()}
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    return folder


def seeded(key: str, shape: Sequence[int]) -> torch.Tensor:
    """The weights that a key has in every golden case."""
    noise = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if len(shape) == 1:
        return torch.from_numpy(0.1 * noise + key.endswith(".weight")).float()
    return torch.from_numpy(noise / np.sqrt(np.prod(shape[1:]))).float()


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())
