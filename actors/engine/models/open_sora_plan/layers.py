"""The layers of the causal video VAE, with the names of its published weights.

Shapes: B batch, C channels, T frames, S pixels of a frame, H and W height and width.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import avg_pool3d, interpolate, scaled_dot_product_attention, silu

Convolution = Callable[[int, int, int], nn.Module]
"""Makes a convolution that keeps height and width, from channels in, channels out and kernel."""


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups of channels; over a video's (B, C, T, H, W), all frames are normed together."""
    return nn.GroupNorm(32, channels, eps=1e-6)


def frame_conv(channels_in: int, channels_out: int, kernel: int) -> nn.Conv2d:
    """A convolution within a frame."""
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)


def pad_past(x_BCTHW: torch.Tensor, frames: int) -> torch.Tensor:
    """The first frame `frames` times more, before the video: what a causal layer sees as its past."""
    return torch.cat([x_BCTHW[:, :, :1].expand(-1, -1, frames, -1, -1), x_BCTHW], dim=2)


class CausalConv3d(nn.Module):
    """A convolution whose frame t reads frames up to t; `kernel_time` is `kernel` unless given."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, kernel_time: int | None = None) -> None:
        super().__init__()
        time, edge = kernel if kernel_time is None else kernel_time, kernel // 2
        self._past = time - 1
        self.conv = nn.Conv3d(channels_in, channels_out, (time, kernel, kernel), padding=(0, edge, edge))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to as many frames of the same size."""
        output: torch.Tensor = self.conv(pad_past(x_BCTHW, self._past))
        return output


class ResnetBlock(nn.Module):
    """Two normed convolutions beside a shortcut; `conv` says whether on frames or on videos."""

    def __init__(self, channels_in: int, channels_out: int, conv: Convolution) -> None:
        super().__init__()
        self.norm1 = group_norm(channels_in)
        self.conv1 = conv(channels_in, channels_out, 3)
        self.norm2 = group_norm(channels_out)
        self.conv2 = conv(channels_out, channels_out, 3)
        self.nin_shortcut = conv(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) or (B, C, T, H, W), as `conv` takes it, with other channels."""
        hidden = self.conv1(silu(self.norm1(x)))
        hidden = self.conv2(silu(self.norm2(hidden)))
        return self.nin_shortcut(x) + hidden


class FrameAttention(nn.Module):
    """Self-attention of one head over the pixels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q, self.k, self.v, self.proj_out = (CausalConv3d(channels, channels, 1) for _ in range(4))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to the same."""
        normed = self.norm(x_BCTHW)
        q_BTSC, k_BTSC, v_BTSC = (_by_frame(conv(normed)) for conv in (self.q, self.k, self.v))
        read_BTSC = scaled_dot_product_attention(q_BTSC, k_BTSC, v_BTSC)
        read_BCTHW = read_BTSC.unflatten(2, x_BCTHW.shape[3:]).permute(0, 4, 1, 2, 3)
        return x_BCTHW + self.proj_out(read_BCTHW)


class Middle(nn.Module):
    """A residual block, attention, a residual block: the middle of encoder and decoder."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, CausalConv3d)
        self.attn_1 = FrameAttention(channels)
        self.block_2 = ResnetBlock(channels, channels, CausalConv3d)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to the same."""
        return self.block_2(self.attn_1(self.block_1(x_BCTHW)))


class SpatialUpsample(nn.Module):
    """Twice the height and width: nearest pixels, then a convolution within each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, 3, kernel_time=1)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to (B, C, T, 2H, 2W)."""
        return self.conv(interpolate(x_BCTHW, scale_factor=(1.0, 2.0, 2.0), mode="nearest"))


class TimeUpsample(nn.Module):
    """Twice the frames but the first: a learnt mix of interpolation and a convolution of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, 3)
        self.mix_factor = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W) to (B, C, 2T - 1, H, W)."""
        first, rest = x_BCTHW[:, :, :1], x_BCTHW[:, :, 1:]
        if rest.shape[2]:
            rest = interpolate(rest, scale_factor=(2.0, 1.0, 1.0), mode="trilinear")
        smooth = torch.cat([first, rest], dim=2)
        return _mixed(self.mix_factor, smooth, self.conv(smooth))


class TimeDownsample(nn.Module):
    """Half the frames after the first: a learnt mix of the mean and a convolution over three frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, stride=(2, 1, 1), padding=(0, 1, 1))
        self.mix_factor = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, C, T, H, W), T odd, to (B, C, (T + 1) / 2, H, W)."""
        past_BCTHW = pad_past(x_BCTHW, 2)
        mean = avg_pool3d(past_BCTHW, (3, 1, 1), stride=(2, 1, 1))
        return _mixed(self.mix_factor, mean, self.conv(past_BCTHW))


def _mixed(factor: torch.Tensor, smooth: torch.Tensor, learnt: torch.Tensor) -> torch.Tensor:
    share = factor.sigmoid()
    return share * smooth + (1 - share) * learnt


def _by_frame(x_BCTHW: torch.Tensor) -> torch.Tensor:
    """Each frame's pixels in a row, (B, T, S, C)."""
    return x_BCTHW.permute(0, 2, 3, 4, 1).flatten(2, 3)
