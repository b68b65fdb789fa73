"""The causal video VAE of Open-Sora-Plan 1.1 (CausalVAE 4x8x8).

Shapes: B batch, C latent channels, T latent frames, h and w latent height and width.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import AutoencoderMixin, DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput

from actors.engine.models.open_sora_plan.decoder import Decoder
from actors.engine.models.open_sora_plan.encoder import Encoder
from actors.engine.models.open_sora_plan.layers import CausalConv3d
from actors.engine.models.open_sora_plan.tiling import Tiling
from actors.engine.models.published import PublishedModel


class AutoencoderKLOpenSoraPlan(PublishedModel, AutoencoderMixin, ConfigMixin):
    """4T - 3 frames of 8h x 8w pixels in -1..1, to and from T latent frames of h x w; the first stands for itself.

    Its norms are over all frames of a video, so a part of the frames does not decode to that part of the video.
    Its authors sample with `enable_tiling()`; `tiling` then says how. Encoding is in one piece.
    Source: opensora/models/ae/videobase of github.com/PKU-YuanGroup/Open-Sora-Plan, tag v1.1.0.
    """

    fixed_settings: ClassVar[Mapping[str, object]] = {
        "attn_resolutions": [],
        "decoder_attention": "AttnBlock3DFix",
        "decoder_conv_in": "CausalConv3d",
        "decoder_conv_out": "CausalConv3d",
        "decoder_mid_resnet": "ResnetBlock3D",
        "decoder_resnet_blocks": ["ResnetBlock3D"] * 4,
        "decoder_spatial_upsample": ["", *["SpatialUpsample2x"] * 3],
        "decoder_temporal_upsample": ["", "", *["TimeUpsampleRes2x"] * 2],
        "double_z": True,
        "encoder_attention": "AttnBlock3DFix",
        "encoder_conv_in": "Conv2d",
        "encoder_conv_out": "CausalConv3d",
        "encoder_mid_resnet": "ResnetBlock3D",
        "encoder_resnet_blocks": [*["ResnetBlock2D"] * 2, *["ResnetBlock3D"] * 2],
        "encoder_spatial_downsample": [*["Downsample"] * 3, ""],
        "encoder_temporal_downsample": ["", *["TimeDownsampleRes2x"] * 2, ""],
        "q_conv": "CausalConv3d",
    }
    # The discriminator and the perceptual loss it was trained with are in the same file.
    training_keys: ClassVar[Sequence[str]] = ("loss.",)

    @register_to_config
    def __init__(
        self,
        *,
        hidden_size: int = 128,
        hidden_size_mult: Sequence[int] = (1, 2, 4, 4),
        z_channels: int = 4,
        embed_dim: int = 4,
        num_res_blocks: int = 2,
        scaling_factor: float = 0.18215,
    ) -> None:
        """The defaults are the published sizes.

        Args:
            hidden_size: channels of the finest stage.
            hidden_size_mult: channels of the four stages, finest first, in `hidden_size`.
            z_channels: latent channels inside.
            embed_dim: latent channels outside.
            num_res_blocks: residual blocks of an encoder's stage; a decoder's has one more.
            scaling_factor: what latents are multiplied by for the transformer; the caller does it.
        """
        super().__init__()
        channels = [hidden_size * multiple for multiple in hidden_size_mult]
        self.encoder = Encoder(z_channels, channels, num_res_blocks)
        self.decoder = Decoder(z_channels, channels, num_res_blocks + 1)
        self.quant_conv = CausalConv3d(2 * z_channels, 2 * embed_dim, 1)
        self.post_quant_conv = CausalConv3d(embed_dim, z_channels, 1)
        self.use_tiling = False
        self.tiling = Tiling()

    def encode(
        self, pixels: torch.Tensor, return_dict: bool = True
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        """Pixels (B, 3, 4T - 3, 8h, 8w) in -1..1 to the distribution of latents (B, C, T, h, w)."""
        distribution = DiagonalGaussianDistribution(self.quant_conv(self.encoder(pixels)))
        return AutoencoderKLOutput(latent_dist=distribution) if return_dict else (distribution,)

    def decode(self, latents: torch.Tensor, return_dict: bool = True) -> DecoderOutput | tuple[torch.Tensor]:
        """Latents (B, C, T, h, w), already divided by `scaling_factor`, to pixels (B, 3, 4T - 3, 8h, 8w)."""
        pixels = self.tiling.decode(self._decode, latents) if self.use_tiling else self._decode(latents)
        return DecoderOutput(sample=pixels) if return_dict else (pixels,)

    def decode_part(self, latents: torch.Tensor) -> torch.Tensor:
        """Some tiles of frames of a longer video, as `decode` makes them of all of it with `use_tiling`."""
        return self.tiling.decode(self._decode, latents, part=True)

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.post_quant_conv(latents))
