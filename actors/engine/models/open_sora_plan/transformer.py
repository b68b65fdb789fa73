"""The transformer of Open-Sora-Plan 1.1, which its authors call `LatteT2V`."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from diffusers import LatteTransformer3DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_1d_sincos_pos_embed_from_grid

from actors.engine.models.published import PublishedModel

_LATTE_FRAMES = 16


class OpenSoraPlanTransformer3DModel(PublishedModel, LatteTransformer3DModel):
    """diffusers' Latte, its frames' sinusoidal positions closer together: `LatteDenoiser` drives it as it is.

    Rotary positions and compressed keys are in the authors' code, and no published 1.1 checkpoint uses them.
    Source: opensora/models/diffusion/latte of github.com/PKU-YuanGroup/Open-Sora-Plan, tag v1.1.0.
    """

    fixed_settings: ClassVar[Mapping[str, object]] = {
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "attention_type": "default",
        "compress_kv_factor": 1,
        "double_self_attention": False,
        "norm_elementwise_affine": False,
        "norm_eps": 1e-6,
        "norm_type": "ada_norm_single",
        "only_cross_attention": False,
        "patch_size_t": 1,
        "use_rope": False,
    }
    # The caption that training puts in the place of a dropped one.
    training_keys: ClassVar[Sequence[str]] = ("caption_projection.y_embedding",)

    @register_to_config
    def __init__(
        self,
        *,
        num_attention_heads: int = 16,
        attention_head_dim: int = 72,
        in_channels: int = 4,
        out_channels: int = 8,
        num_layers: int = 28,
        cross_attention_dim: int = 1152,
        caption_channels: int = 4096,
        sample_size: int | Sequence[int] = 64,
        patch_size: int = 2,
        video_length: int = 17,
        interpolation_scale_1d: float | None = None,
    ) -> None:
        """The defaults are those of 65x512x512.

        Args:
            num_attention_heads: heads of each attention.
            attention_head_dim: width of a head.
            in_channels: latent channels.
            out_channels: twice as many: the noise, then its variance.
            num_layers: pairs of a spatial and a temporal block.
            cross_attention_dim: the model's width again.
            caption_channels: width of the text features.
            sample_size: height and width of the latents it was trained on, or the edge of that square.
            patch_size: edge of a patch in latent pixels.
            video_length: latent frames; it takes no other number.
            interpolation_scale_1d: what a frame's index is divided by for its position; unless given, how often
                `video_length` holds Latte's 16 frames.
        """
        super().__init__(
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            num_layers=num_layers,
            cross_attention_dim=cross_attention_dim,
            attention_bias=True,
            sample_size=sample_size if isinstance(sample_size, int) else sample_size[0],
            patch_size=patch_size,
            activation_fn="gelu-approximate",
            num_embeds_ada_norm=1000,
            norm_type="ada_norm_single",
            norm_elementwise_affine=False,
            norm_eps=1e-6,
            caption_channels=caption_channels,
            video_length=video_length,
        )
        scale = interpolation_scale_1d or max(video_length // _LATTE_FRAMES, 1)
        positions = torch.arange(video_length) / scale
        embedded_TD = get_1d_sincos_pos_embed_from_grid(num_attention_heads * attention_head_dim, positions)
        self.register_buffer("temp_pos_embed", embedded_TD.float()[None], persistent=False)
