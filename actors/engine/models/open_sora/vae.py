"""Open-Sora 1.2's VAE: an image VAE on every frame, then a temporal VAE on groups of 17 frames (docs/vae.md there).

Parameters bear the names of the published checkpoint, hpcai-tech/OpenSora-VAE-v1.2.

Shapes: B batch, T frames, t latent frames, Z latent channels, H and W pixels, h and w latent height and width.
"""

from collections.abc import Callable, Sequence

import torch
from diffusers import AutoencoderKL, ConfigMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from actors.engine.models.open_sora.temporal_vae import TIME_SCALE, TemporalVae
from actors.engine.models.published import PublishedModel

_IMAGE_SCALE = 0.18215
"""What the latents of the image VAE are multiplied by; the temporal VAE was trained with this, not with SDXL's."""


class AutoencoderKLOpenSora(PublishedModel, ConfigMixin):
    """Videos to latents of mean 0 and deviation 1, and back.

    Groups of `frame_group` frames know nothing of each other, so whole groups can be decoded apart: 17 frames are 5
    latent ones. A last, shorter group has a latent frame for each 4 of its frames.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        layers_per_block: int = 2,
        temporal_channels: int = 128,
        temporal_res_blocks: int = 4,
        norm_num_groups: int = 32,
        latents_mean: Sequence[float] = (-0.10, 0.34, 0.27, 0.98),
        latents_std: Sequence[float] = (3.85, 2.32, 2.33, 3.06),
        frame_group: int = 17,
        micro_batch_size: int = 4,
    ) -> None:
        super().__init__()
        channels = len(latents_mean)
        self.spatial_vae = _FrameVae(channels, tuple(block_out_channels), layers_per_block, norm_num_groups)
        self.temporal_vae = TemporalVae(channels, temporal_channels, temporal_res_blocks, norm_num_groups)
        self.register_buffer("shift", torch.tensor(latents_mean).reshape(1, channels, 1, 1, 1))
        self.register_buffer("scale", torch.tensor(latents_std).reshape(1, channels, 1, 1, 1))

    @property
    def latent_group(self) -> int:
        """Latent frames of a whole group."""
        return -(-self.config.frame_group // TIME_SCALE)

    @property
    def scale_factor(self) -> int:
        """Pixels a latent pixel, along each edge."""
        return int(2 ** (len(self.config.block_out_channels) - 1))

    def group_frames(self, latent_frames: int) -> int:
        """Frames of a group, or of a shorter one at the end as many as it can hold."""
        return min(self.config.frame_group, TIME_SCALE * latent_frames)

    def encode(self, video_B3THW: torch.Tensor) -> torch.Tensor:
        """A video in -1..1 to the means of its latents, (B, Z, t, h, w); nothing is sampled."""
        x_BZThw = self.spatial_vae.encode(video_B3THW, self.config.micro_batch_size)
        groups = x_BZThw.split(self.config.frame_group, dim=2)
        z_BZthw = torch.cat([self.temporal_vae.encode(group) for group in groups], dim=2)
        return (z_BZthw - self.shift) / self.scale

    def decode(self, latents_BZthw: torch.Tensor, num_frames: int) -> torch.Tensor:
        """Latents to a video of `num_frames` frames, (B, 3, T, H, W), nearly in -1..1."""
        z_BZthw = latents_BZthw.to(self.dtype) * self.scale + self.shift
        frame_group = self.config.frame_group
        lengths = [min(frame_group, num_frames - start) for start in range(0, num_frames, frame_group)]
        groups = z_BZthw.split([-(-length // TIME_SCALE) for length in lengths], dim=2)
        parts = [self.temporal_vae.decode(group, length) for group, length in zip(groups, lengths, strict=True)]
        return self.spatial_vae.decode(torch.cat(parts, dim=2), self.config.micro_batch_size)


class _FrameVae(nn.Module):
    """An image VAE, a few frames at a time."""

    def __init__(self, channels: int, widths: tuple[int, ...], layers_per_block: int, num_groups: int) -> None:
        super().__init__()
        self.module = AutoencoderKL(
            latent_channels=channels,
            block_out_channels=widths,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            layers_per_block=layers_per_block,
            norm_num_groups=num_groups,
        )

    def encode(self, video_B3THW: torch.Tensor, at_once: int) -> torch.Tensor:
        return _by_frames(lambda part: self.module.encode(part).latent_dist.mode() * _IMAGE_SCALE, video_B3THW, at_once)

    def decode(self, x_BZThw: torch.Tensor, at_once: int) -> torch.Tensor:
        return _by_frames(lambda part: self.module.decode(part / _IMAGE_SCALE).sample, x_BZThw, at_once)


def _by_frames(image_map: Callable[[torch.Tensor], torch.Tensor], video: torch.Tensor, at_once: int) -> torch.Tensor:
    """What `image_map` makes of each frame of (B, channels, T, height, width)."""
    images = video.transpose(1, 2).flatten(0, 1)
    mapped = torch.cat([image_map(part) for part in images.split(at_once)])
    return mapped.unflatten(0, (len(video), -1)).transpose(1, 2)
