"""Small random Open-Sora and Open-Sora-Plan models, their folders laid out as the entries of configs/models say.

Transformer and VAE have the file names and the keys of config.json that their authors published.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

from actors.engine.models.open_sora import AutoencoderKLOpenSora, OpenSoraTransformer3DModel
from actors.engine.models.open_sora_plan import AutoencoderKLOpenSoraPlan, OpenSoraPlanTransformer3DModel

HEADS, HIDDEN, LAYERS, TEXT_WIDTH = 4, 32, 2, 24


def save_tiny_open_sora(folder: Path) -> Path:
    """Videos of 17 frames and more, from 144 pixels an edge on."""
    torch.manual_seed(0)
    sizes = {"hidden_size": HIDDEN, "depth": LAYERS, "num_heads": HEADS, "caption_channels": TEXT_WIDTH}
    transformer = {
        **sizes,
        "in_channels": 4,
        "patch_size": [1, 2, 2],
        "mlp_ratio": 4.0,
        "model_max_length": 300,
        "input_sq_size": 512,
        "qk_norm": True,
        "architectures": ["STDiT3"],
    }
    vae = {
        "block_out_channels": [4, 4, 4, 4],
        "layers_per_block": 1,
        "temporal_channels": 4,
        "temporal_res_blocks": 1,
        "norm_num_groups": 2,
        "micro_frame_size": 17,
        "architectures": ["VideoAutoencoderPipeline"],
    }
    _save(folder / "transformer", OpenSoraTransformer3DModel, transformer, "model.safetensors")
    _save(folder / "vae", AutoencoderKLOpenSora, vae, "model.safetensors")
    return _save_rest(folder, "OpenSoraPipeline")


def save_tiny_open_sora_plan(folder: Path) -> Path:
    """Videos of 17 frames, from 64 pixels an edge on."""
    torch.manual_seed(0)
    transformer = {
        "num_attention_heads": HEADS,
        "attention_head_dim": HIDDEN // HEADS,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": LAYERS,
        "cross_attention_dim": HIDDEN,
        "caption_channels": TEXT_WIDTH,
        "sample_size": [8, 10],
        "patch_size": 2,
        "video_length": 5,
        "model_max_length": 300,
        "use_rope": False,
        "_class_name": "LatteT2V",
    }
    vae = {
        "hidden_size": 32,
        "hidden_size_mult": [1, 1, 1, 1],
        "z_channels": 4,
        "embed_dim": 4,
        "num_res_blocks": 1,
        "q_conv": "CausalConv3d",
        "_class_name": "CausalVAEModel",
    }
    _save(folder / "transformer", OpenSoraPlanTransformer3DModel, transformer, "diffusion_pytorch_model.safetensors")
    _save(folder / "vae", AutoencoderKLOpenSoraPlan, vae, "diffusion_pytorch_model.safetensors")
    return _save_rest(folder, "OpenSoraPlanPipeline")


def _save(folder: Path, model: type[torch.nn.Module], config: Mapping[str, object], file: str) -> None:
    """Random weights, norms and biases away from ones and zeros, so that none can be left out unseen."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    state = model(**model._settings(config)).state_dict()  # type: ignore[attr-defined]
    stirred = {key: value + 0.1 * torch.randn_like(value) for key, value in state.items()}
    save_file(stirred, folder / file)


def _save_rest(folder: Path, pipeline: str) -> Path:
    t5 = T5Config(vocab_size=384, d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0)
    T5EncoderModel(t5).save_pretrained(folder / "text_encoder")
    ByT5Tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    return folder
