"""Small random models with joint attention in the layout of diffusers' pipelines; their 12 heads divide by 2, 3, 4."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXDPMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    DiffusionPipeline,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

HEADS, LAYERS, TEXT_WIDTH, TEXT_TOKENS = 12, 2, 24, 16
_T5 = {
    "vocab_size": 384,
    "d_model": TEXT_WIDTH,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "dropout_rate": 0.0,
}


def save_tiny_cogvideox(folder: Path, *, rotary: bool) -> Path:
    """As 5B (rotary positions, DPM) if `rotary`, else as 2B; its VAE scales by 8 and 4."""
    torch.manual_seed(0)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=32,
        text_embed_dim=TEXT_WIDTH,
        num_layers=LAYERS,
        sample_height=6,
        sample_width=10,
        sample_frames=9,
        max_text_seq_length=TEXT_TOKENS,
        use_rotary_positional_embeddings=rotary,
    )
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_height=48,
        sample_width=80,
    )
    sampler = CogVideoXDPMScheduler if rotary else CogVideoXDDIMScheduler
    scheduler = sampler(
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=1.0 if rotary else 3.0,
        timestep_spacing="trailing",
    )
    text_encoder = T5EncoderModel(T5Config(**_T5))
    return _save(CogVideoXPipeline(ByT5Tokenizer(), text_encoder, vae, _stirred(transformer), scheduler), folder)


def save_tiny_wan(folder: Path) -> Path:
    """As Wan 2.1: 4k + 1 frames, UniPC, a VAE that scales by 8 and 4."""
    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=TEXT_WIDTH,
        freq_dim=32,
        ffn_dim=96,
        num_layers=LAYERS,
        rope_max_seq_len=32,
    )
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3, -0.4],
        latents_std=[1.5, 2.5, 0.5, 1.0],
    )
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=1000
    )
    text_encoder = UMT5EncoderModel(UMT5Config(**_T5))
    return _save(WanPipeline(ByT5Tokenizer(), text_encoder, vae, scheduler, _stirred(transformer)), folder)


def _stirred(model: torch.nn.Module) -> torch.nn.Module:
    """Norms and biases away from ones and zeros, so that none can be left out unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def _save(pipeline: DiffusionPipeline, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder
