"""The temporal half of Open-Sora 1.2's VAE: latent images of an image VAE to fewer latent frames, and back.

A 3-D causal network in the manner of MAGVIT-v2 (arXiv 2310.05737) without its codebook. Parameters bear the names of
the published checkpoint, hpcai-tech/OpenSora-VAE-v1.2.

Shapes: B batch, X channels of a feature map, Z latent channels, T frames of the image VAE, t latent frames,
h and w latent height and width.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import pad, silu

_STAGES = (1, 2, 2, 4)
"""Channels of a stage, in units of the first one's."""
_HALVES = (False, True, True)
"""Whether the number of frames halves after each stage but the last."""
TIME_SCALE = 2 ** sum(_HALVES)
"""Frames a latent frame."""


class TemporalVae(nn.Module):
    """The mean of the latents of some frames, and frames of latents; frames see only what came before them."""

    def __init__(self, latent_channels: int, channels: int, num_res_blocks: int, num_groups: int) -> None:
        super().__init__()
        sizes = (latent_channels, channels, num_res_blocks, num_groups)
        self.encoder = _Encoder(*sizes)
        self.quant_conv = _CausalConv(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = _CausalConv(latent_channels, latent_channels, 1)
        self.decoder = _Decoder(*sizes)

    def encode(self, x_BZThw: torch.Tensor) -> torch.Tensor:
        """(B, Z, T, h, w) to the posterior's mean, (B, Z, t, h, w); t is T / 4, rounded up."""
        filled = pad(x_BZThw, (0, 0, 0, 0, -x_BZThw.shape[2] % TIME_SCALE, 0))
        mean_and_log_variance = self.quant_conv(self.encoder(filled))
        return mean_and_log_variance.chunk(2, dim=1)[0]

    def decode(self, z_BZthw: torch.Tensor, num_frames: int) -> torch.Tensor:
        """(B, Z, t, h, w) to (B, Z, T, h, w), T being `num_frames`: what `encode` filled up in front is cut off."""
        x_BZThw = self.decoder(self.post_quant_conv(z_BZthw))
        return x_BZThw[:, :, -num_frames % TIME_SCALE :]


class _CausalConv(nn.Module):
    """A convolution whose frame reads itself and frames before it; zeros stand in for those before the first."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel, stride=(stride, 1, 1), bias=bias)
        edge = kernel // 2
        self._padding = (edge, edge, edge, edge, kernel - stride, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(pad(x, self._padding))


class _ResBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(num_groups, in_channels)
        self.conv1 = _CausalConv(in_channels, out_channels, 3, bias=False)
        self.norm2 = nn.GroupNorm(num_groups, out_channels)
        self.conv2 = _CausalConv(out_channels, out_channels, 3, bias=False)
        same = in_channels == out_channels
        self.conv3 = nn.Identity() if same else _CausalConv(in_channels, out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(silu(self.norm1(x)))
        y = self.conv2(silu(self.norm2(y)))
        return self.conv3(x) + y


def _stage(in_channels: int, out_channels: int, num_res_blocks: int, num_groups: int) -> nn.Sequential:
    """Residual blocks, of which the first changes the channels."""
    inputs = [in_channels] + [out_channels] * (num_res_blocks - 1)
    return nn.Sequential(*(_ResBlock(each, out_channels, num_groups) for each in inputs))


class _Encoder(nn.Module):
    def __init__(self, latent_channels: int, channels: int, num_res_blocks: int, num_groups: int) -> None:
        super().__init__()
        widths = [channels * ratio for ratio in _STAGES]
        sizes = (num_res_blocks, num_groups)
        self.conv_in = _CausalConv(latent_channels, channels, 3, bias=False)
        stages = pairwise([channels, *widths])
        self.block_res_blocks = nn.ModuleList(_stage(before, width, *sizes) for before, width in stages)
        self.conv_blocks = nn.ModuleList(
            _CausalConv(width, width, 3, stride=2) if halves else nn.Identity()
            for halves, width in zip(_HALVES, widths[:-1], strict=True)
        )
        self.res_blocks = _stage(widths[-1], widths[-1], *sizes)
        self.norm1 = nn.GroupNorm(num_groups, widths[-1])
        self.conv2 = _CausalConv(widths[-1], 2 * latent_channels, 1)

    def forward(self, x_BZThw: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x_BZThw)
        for stage, halve in zip(self.block_res_blocks, [*self.conv_blocks, nn.Identity()], strict=True):
            x = halve(stage(x))
        return self.conv2(silu(self.norm1(self.res_blocks(x))))


class _Decoder(nn.Module):
    """The encoder backwards; its stages are numbered as the encoder's, so the last one runs first."""

    def __init__(self, latent_channels: int, channels: int, num_res_blocks: int, num_groups: int) -> None:
        super().__init__()
        widths = [channels * ratio for ratio in _STAGES]
        sizes = (num_res_blocks, num_groups)
        self.conv1 = _CausalConv(latent_channels, widths[-1], 3)
        self.res_blocks = _stage(widths[-1], widths[-1], *sizes)
        stages = zip([*widths[1:], widths[-1]], widths, strict=True)
        self.block_res_blocks = nn.ModuleList(_stage(before, width, *sizes) for before, width in stages)
        self.conv_blocks = nn.ModuleList(
            _CausalConv(width, 2 * width, 3) if halves else nn.Identity()
            for halves, width in zip(_HALVES, widths[1:], strict=True)
        )
        self.norm1 = nn.GroupNorm(num_groups, channels)
        self.conv_out = _CausalConv(channels, latent_channels, 3)

    def forward(self, z_BZthw: torch.Tensor) -> torch.Tensor:
        x = self.res_blocks(self.conv1(z_BZthw))
        for index in reversed(range(len(_STAGES))):
            x = self.block_res_blocks[index](x)
            if index > 0 and _HALVES[index - 1]:
                x = _double_frames(self.conv_blocks[index - 1](x))
        return self.conv_out(silu(self.norm1(x)))


def _double_frames(x_BXThw: torch.Tensor) -> torch.Tensor:
    """Neighbouring channels become neighbouring frames: (B, 2X, T, h, w) to (B, X, 2T, h, w)."""
    return x_BXThw.unflatten(1, (-1, 2)).permute(0, 1, 3, 2, 4, 5).flatten(2, 3)
