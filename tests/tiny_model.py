"""A small random Latte in the layout of a diffusers pipeline, for tests that need numerics and not pictures."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, LattePipeline, LatteTransformer3DModel
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel


def save_tiny_model(folder: Path, *, patch_size: int = 1, num_layers: int = 2) -> Path:
    """Save the model in `folder`; its edges run from 32 pixels (patch 1) and it makes 16 frames."""
    torch.manual_seed(0)
    heads, head_dim = 2, 16
    transformer = LatteTransformer3DModel(
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        in_channels=4,
        out_channels=8,
        num_layers=num_layers,
        cross_attention_dim=heads * head_dim,
        attention_bias=True,
        sample_size=8,
        patch_size=patch_size,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=24,
        video_length=16,
    )
    text_encoder = T5EncoderModel(
        T5Config(vocab_size=384, d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0)
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=64,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )
    pipeline = LattePipeline(ByT5Tokenizer(), text_encoder, vae, transformer, scheduler)
    pipeline.save_pretrained(folder)
    return folder
