"""The encoder of the causal video VAE.

Shapes: B batch, C channels, T frames, H and W height and width.
"""

from collections.abc import Sequence

import torch
from diffusers.models.downsampling import Downsample2D
from torch import nn
from torch.nn.functional import silu

from actors.engine.models.open_sora_plan.layers import (
    CausalConv3d,
    Middle,
    ResnetBlock,
    TimeDownsample,
    frame_conv,
    group_norm,
)


class Encoder(nn.Module):
    """Pixels to the mean and log-variance of latents.

    `channels` are those of the stages, finest first. Each but the last halves the edges; the two before the last
    halve the frames after the first too. The first two stages see each frame alone (v1.1 made them so, for memory).
    """

    def __init__(self, latent_channels: int, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        finer = [channels[0], *channels]
        last = len(channels) - 1
        self.conv_in = frame_conv(3, channels[0], 3)
        self.down = nn.ModuleList(
            _DownStage(
                finer[stage],
                channels[stage],
                blocks,
                by_frame=stage < last - 1,
                space=stage < last,
                time=last - 2 <= stage < last,
            )
            for stage in range(len(channels))
        )
        self.mid = Middle(channels[-1])
        self.norm_out = group_norm(channels[-1])
        self.conv_out = CausalConv3d(channels[-1], 2 * latent_channels, 3)

    def forward(self, pixels_BCTHW: torch.Tensor) -> torch.Tensor:
        """Pixels (B, 3, 4T - 3, 8H, 8W) to moments (B, 2C, T, H, W), for four stages."""
        x_BCTHW = _video(self.conv_in(_frames(pixels_BCTHW)), len(pixels_BCTHW))
        for stage in self.down:
            x_BCTHW = stage(x_BCTHW)
        return self.conv_out(silu(self.norm_out(self.mid(x_BCTHW))))


class _DownStage(nn.Module):
    def __init__(
        self, channels_in: int, channels_out: int, blocks: int, *, by_frame: bool, space: bool, time: bool
    ) -> None:
        super().__init__()
        into = [channels_in, *[channels_out] * (blocks - 1)]
        conv = frame_conv if by_frame else CausalConv3d
        self._by_frame = by_frame
        self.block = nn.ModuleList(ResnetBlock(channels, channels_out, conv) for channels in into)
        # Under this name diffusers keeps the convolution once, as `conv`.
        self.downsample = Downsample2D(channels_out, use_conv=True, padding=0, name="op") if space else nn.Identity()
        self.time_downsample = TimeDownsample(channels_out) if time else nn.Identity()

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        batch = len(x_BCTHW)
        x = _frames(x_BCTHW) if self._by_frame else x_BCTHW
        for block in self.block:
            x = block(x)
        frames = x if self._by_frame else _frames(x)
        return self.time_downsample(_video(self.downsample(frames), batch))


def _frames(x_BCTHW: torch.Tensor) -> torch.Tensor:
    """The frames as a batch, (B * T, C, H, W)."""
    return x_BCTHW.transpose(1, 2).flatten(0, 1)


def _video(x: torch.Tensor, batch: int) -> torch.Tensor:
    """The frames (B * T, C, H, W) as videos again."""
    return x.unflatten(0, (batch, -1)).transpose(1, 2)
