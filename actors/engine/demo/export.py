"""Writes the demo model in the on-disk format of diffusers' LattePipeline, float16 safetensors."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import torch

MAX_TEXT_TOKENS = 120


def assemble(*, vae: Any, text_encoder: Any, denoiser: Any, scheduler: Any, dtype: torch.dtype) -> Any:
    """A LattePipeline on the CPU over copies of the parts."""
    from diffusers import LattePipeline
    from transformers import ByT5Tokenizer

    parts = [_copy(part, dtype) for part in (text_encoder, vae, denoiser)]
    return LattePipeline(
        tokenizer=ByT5Tokenizer(model_max_length=MAX_TEXT_TOKENS),
        text_encoder=parts[0],
        vae=parts[1],
        transformer=parts[2],
        scheduler=scheduler,
    )


def _copy(part: Any, dtype: torch.dtype) -> Any:
    """A fresh instance with the same weights; compiled forms and memory formats stay behind."""
    fresh = (
        type(part)(copy.deepcopy(part.config))
        if hasattr(part, "base_model_prefix")
        else type(part).from_config(part.config)
    )
    fresh.load_state_dict({name: tensor.detach().cpu().contiguous() for name, tensor in part.state_dict().items()})
    return fresh.to(dtype).eval()


def save_model(folder: Path, *, vae: Any, text_encoder: Any, denoiser: Any, scheduler: Any) -> int:
    """Writes the model into `folder` (replaced if it exists) and returns its size in bytes."""
    if folder.exists():
        shutil.rmtree(folder)
    pipeline = assemble(vae=vae, text_encoder=text_encoder, denoiser=denoiser, scheduler=scheduler, dtype=torch.float16)
    pipeline.save_pretrained(str(folder), safe_serialization=True)
    _say_float32(folder / "text_encoder" / "config.json")
    return folder_bytes(folder)


def _say_float32(path: Path) -> None:
    """transformers loads a model in the dtype its config names: the file is half, the model is meant to be float."""
    config = json.loads(path.read_text())
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
