"""The decoder of the causal video VAE.

Shapes: B batch, C channels, T frames, H and W height and width.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import silu

from actors.engine.models.open_sora_plan.layers import (
    CausalConv3d,
    Middle,
    ResnetBlock,
    SpatialUpsample,
    TimeUpsample,
    group_norm,
)


class Decoder(nn.Module):
    """Latents to pixels; all its convolutions are over time as well.

    `channels` are those of the stages, finest first. Each but the first doubles the edges; the two coarsest
    double the frames after the first too.
    """

    def __init__(self, latent_channels: int, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        coarser = [*channels[1:], channels[-1]]
        self.conv_in = CausalConv3d(latent_channels, channels[-1], 3)
        self.mid = Middle(channels[-1])
        self.up = nn.ModuleList(
            _UpStage(
                coarser[stage], channels[stage], blocks, space=stage > 0, time=stage > 0 and stage >= len(channels) - 2
            )
            for stage in range(len(channels))
        )
        self.norm_out = group_norm(channels[0])
        self.conv_out = CausalConv3d(channels[0], 3, 3)

    def forward(self, latents_BCTHW: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, H, W) to pixels (B, 3, 4T - 3, 8H, 8W), for four stages."""
        x_BCTHW = self.mid(self.conv_in(latents_BCTHW))
        for stage in reversed(self.up):
            x_BCTHW = stage(x_BCTHW)
        return self.conv_out(silu(self.norm_out(x_BCTHW)))


class _UpStage(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, blocks: int, *, space: bool, time: bool) -> None:
        super().__init__()
        into = [channels_in, *[channels_out] * (blocks - 1)]
        self.block = nn.ModuleList(ResnetBlock(channels, channels_out, CausalConv3d) for channels in into)
        self.upsample = SpatialUpsample(channels_out) if space else nn.Identity()
        self.time_upsample = TimeUpsample(channels_out) if time else nn.Identity()

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        for block in self.block:
            x_BCTHW = block(x_BCTHW)
        return self.time_upsample(self.upsample(x_BCTHW))
