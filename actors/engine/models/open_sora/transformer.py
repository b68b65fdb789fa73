"""STDiT3, the transformer of Open-Sora 1.2 (docs/report_03.md of github.com/hpcaitech/Open-Sora).

Parameters bear the names of the published checkpoint, hpcai-tech/OpenSora-STDiT-v3.

Shapes: B batch, T frames, S patches of a frame, D width, L text tokens, K width of the text features,
C latent channels, h and w latent height and width.
"""

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn.functional import pad

from actors.engine.models.open_sora.blocks import SpatialBlock, TemporalBlock
from actors.engine.models.open_sora.embeddings import (
    CaptionEmbedder,
    NumberEmbedder,
    RotaryEmbedding,
    position_embedding,
)
from actors.engine.models.published import PublishedModel


class OpenSoraTransformer3DModel(PublishedModel, ConfigMixin):
    """Predicts the velocity from noise to data of a latent video.

    Layer i is spatial block i, then temporal block i. `forward` runs all of it, every site computed;
    `OpenSoraDenoiser` goes the same way with a cache and a share of the frames. All but `attend` of the temporal
    blocks works on a frame alone.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        patch_size: Sequence[int] = (1, 2, 2),
        hidden_size: int = 1152,
        depth: int = 28,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        caption_channels: int = 4096,
        model_max_length: int = 300,
        input_sq_size: int = 512,
    ) -> None:
        super().__init__()
        if patch_size[0] != 1:
            raise ValueError(f"a patch of {patch_size[0]} frames; frames are shared out one by one, so it must be 1")
        self.x_embedder = _PatchEmbedder(in_channels, hidden_size, patch_size)
        self.t_embedder = NumberEmbedder(hidden_size)
        self.fps_embedder = NumberEmbedder(hidden_size)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 6 * hidden_size))
        self.y_embedder = CaptionEmbedder(caption_channels, hidden_size, model_max_length)
        self.rope = RotaryEmbedding(hidden_size // num_heads)
        sizes = (hidden_size, num_heads, mlp_ratio)
        self.spatial_blocks = nn.ModuleList(SpatialBlock(*sizes) for _ in range(depth))
        self.temporal_blocks = nn.ModuleList(TemporalBlock(*sizes) for _ in range(depth))
        self.final_layer = _FinalLayer(hidden_size, patch_size[1] * patch_size[2] * 2 * in_channels)

    def project_text(self, text_BLK: torch.Tensor) -> torch.Tensor:
        """Text features (B, L, K) as cross attention reads them, (B, L, D); constant over a run."""
        return self.y_embedder(text_BLK)

    def condition(self, timestep_B: torch.Tensor, fps_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Timestep (0..1000) and frames a second for the last layer, (B, D), and for the blocks, (B, 6, D)."""
        embedded_BD = self.t_embedder(timestep_B) + self.fps_embedder(fps_B)
        return embedded_BD, self.t_block(embedded_BD).unflatten(1, (6, -1))

    def embed(self, latents_BCThw: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Latents (B, C, T, h, w) as patches (B, T, S, D); `height` and `width` are the video's, in pixels.

        A last patch that the latents fill in part is filled up with zeros.
        """
        x_BDTrc = self.x_embedder(latents_BCThw)
        rows, columns = x_BDTrc.shape[3:]
        scale = (height * width) ** 0.5 / self.config.input_sq_size
        position_SD = position_embedding(rows, columns, scale, self.config.hidden_size, x_BDTrc.device)
        # Laid out anew once: every sum after it takes over the layout, and norms want a token in one piece.
        x_BTSD = x_BDTrc.flatten(3).permute(0, 2, 3, 1).contiguous()
        return x_BTSD + position_SD.to(x_BTSD.dtype)

    def finish(self, x_BTSD: torch.Tensor, embedded_BD: torch.Tensor, latent_size: Sequence[int]) -> torch.Tensor:
        """Patches to (B, 2C, T, h, w) in float32: the velocity, then a variance that no sampler reads."""
        _, patch_h, patch_w = self.config.patch_size
        height, width = latent_size
        x = self.final_layer(x_BTSD, embedded_BD).unflatten(2, (-(-height // patch_h), -1))
        x = x.unflatten(4, (patch_h, patch_w, -1)).permute(0, 6, 1, 2, 4, 3, 5)
        return x.flatten(5, 6).flatten(3, 4)[..., :height, :width].float()

    def forward(
        self,
        latents_BCThw: torch.Tensor,
        timestep_B: torch.Tensor,
        text_BLK: torch.Tensor,
        *,
        fps_B: torch.Tensor,
        height: int,
        width: int,
        text_mask_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The prediction for a whole video, (B, 2C, T, h, w); see `finish`.

        `text_mask_BL` is true where a token of the text is read; without it all are.
        """
        text_BLD = self.project_text(text_BLK)
        embedded_BD, conditioning_B6D = self.condition(timestep_B, fps_B)
        x_BTSD = self.embed(latents_BCThw, height, width)
        rotation = self.rope(x_BTSD.shape[1])
        for layer in zip(self.spatial_blocks, self.temporal_blocks, strict=True):
            for block in layer:
                x_BTSD = block(x_BTSD, text_BLD, conditioning_B6D, rotation, text_mask_BL)
        return self.finish(x_BTSD, embedded_BD, latents_BCThw.shape[3:])


class _PatchEmbedder(nn.Module):
    def __init__(self, in_channels: int, hidden_size: int, patch_size: Sequence[int]) -> None:
        super().__init__()
        patch = (1, patch_size[1], patch_size[2])
        self.proj = nn.Conv3d(in_channels, hidden_size, kernel_size=patch, stride=patch)

    def forward(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        height, width = latents_BCThw.shape[3:]
        _, patch_h, patch_w = self.proj.kernel_size
        # The sampler keeps latents in float32 whatever the weights are.
        filled = pad(latents_BCThw, (0, -width % patch_w, 0, -height % patch_h)).to(self.proj.weight.dtype)
        return self.proj(filled)


class _FinalLayer(nn.Module):
    def __init__(self, hidden_size: int, out_width: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(hidden_size, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(hidden_size, out_width)
        self.scale_shift_table = nn.Parameter(torch.randn(2, hidden_size) / hidden_size**0.5)

    def forward(self, x_BTSD: torch.Tensor, embedded_BD: torch.Tensor) -> torch.Tensor:
        shift, scale = (self.scale_shift_table + embedded_BD[:, None])[:, :, None, None].unbind(1)
        return self.linear(self.norm_final(x_BTSD) * (1 + scale) + shift)
