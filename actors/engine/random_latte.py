"""A Latte of any size with random weights: as fast as the trained one, where no checkpoint is at hand."""

import torch
from diffusers import AutoencoderKL, DDIMScheduler, LattePipeline, LatteTransformer3DModel
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

from cluster.model import ModelNumbers


def random_latte(numbers: ModelNumbers, device: str, dtype: torch.dtype) -> LattePipeline:
    """A pipeline with the sizes that `numbers` give; its text encoder has one layer, for its text means nothing."""
    torch.manual_seed(0)
    with torch.device(device):
        transformer = latte_transformer(numbers)
        text_encoder = T5EncoderModel(
            T5Config(d_model=numbers.text_width, d_kv=64, d_ff=numbers.text_width, num_layers=1, num_heads=8)
        )
        vae = AutoencoderKL(
            block_out_channels=numbers.vae.channels,
            down_block_types=("DownEncoderBlock2D",) * len(numbers.vae.channels),
            up_block_types=("UpDecoderBlock2D",) * len(numbers.vae.channels),
            latent_channels=numbers.latent_channels,
            layers_per_block=numbers.vae.layers_per_block,
        )
    tokenizer = ByT5Tokenizer(model_max_length=numbers.text_tokens)
    pipeline = LattePipeline(tokenizer, text_encoder, vae, transformer, latte_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device, dtype)


def latte_scheduler() -> DDIMScheduler:
    """What Latte samples with."""
    return DDIMScheduler(beta_schedule="linear", clip_sample=False, set_alpha_to_one=True, steps_offset=0)


def latte_transformer(numbers: ModelNumbers) -> LatteTransformer3DModel:
    """The transformer alone."""
    return LatteTransformer3DModel(
        num_attention_heads=numbers.num_heads,
        attention_head_dim=numbers.hidden_size // numbers.num_heads,
        in_channels=numbers.latent_channels,
        out_channels=2 * numbers.latent_channels,
        num_layers=numbers.num_layers,
        cross_attention_dim=numbers.hidden_size,
        attention_bias=True,
        sample_size=numbers.native_edge // numbers.vae.scale,
        patch_size=numbers.patch_size,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=numbers.text_width,
        video_length=numbers.num_frames,
    )
