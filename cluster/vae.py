"""The decoder that turns latents into frames, as numbers."""

from dataclasses import dataclass
from typing import Literal

from cluster.causal_vae import CausalDecoder


@dataclass(frozen=True, kw_only=True)
class VaeNumbers:
    """The numbers of a convolutional decoder."""

    decoder: Literal["image", "cogvideox", "wan"] = "image"
    """Its layers: diffusers' `AutoencoderKL`, frame by frame, or the causal 3-D ones of `AutoencoderKLCogVideoX` and
    `AutoencoderKLWan`."""
    channels: tuple[int, ...]
    """Channels of its stages, finest first; each but the first doubles the edges."""
    layers_per_block: int = 2
    latent_channels: int = 4
    attention: bool = True
    """Whether its middle has self-attention over a latent frame."""
    frame_group: int = 1
    """Frames that become `latent_group` latent frames together; causal, the first frame is one of its own before."""
    latent_group: int = 1
    tile_frames: int | None = None
    """Latent frames that are decoded apart from those before; such a tile begins with the last one before it."""
    frames_at_once: int = 8
    """Frames that a decoder of images takes in one call."""
    element_bytes: int | None = None
    """Bytes of an element of its weights and activations; None for as many as the transformer's have."""

    @property
    def scale(self) -> int:
        """Pixels a latent pixel, along each edge."""
        return int(2 ** (len(self.channels) - 1))

    @property
    def lone_frames(self) -> int:
        """Frames before the groups, each a latent frame of its own: a causal one's first."""
        return 0 if self.decoder == "image" else 1

    @property
    def causal(self) -> CausalDecoder | None:
        """Its layers, if they see earlier frames."""
        if self.decoder == "image":
            return None
        return CausalDecoder(
            kind=self.decoder,
            channels=self.channels,
            blocks=self.layers_per_block + 1,
            latent_channels=self.latent_channels,
            frame_doublings=(self.frame_group // self.latent_group).bit_length() - 1,
        )

    def latent_frames(self, frames: int) -> int:
        """Latent frames of `frames` frames."""
        return self.lone_frames + (frames - self.lone_frames) // self.frame_group * self.latent_group

    def rank_frames(self, latent_frames: int, width: int) -> int:
        """Latent frames that rank 0 of a gang of `width` decodes: groups or tiles, which know nothing of each other.

        Where a frame hangs on those before it, as `CausalDecoder.rank_frames` says.
        """
        if self.causal:
            return self.causal.rank_frames(latent_frames, width)
        if self.tile_frames:
            step = self.tile_frames - 1
            tiles = max(-(-(latent_frames - 1) // step), 1)
            return min(-(-tiles // width) * step + 1, latent_frames)
        groups = -(-latent_frames // self.latent_group)
        return min(-(-groups // width) * self.latent_group, latent_frames)

    def decode_flops(self, latent_pixels: int, latent_frames: int) -> int:
        """Operations (a multiplication and an addition are two) to decode latent frames of so many pixels.

        3x3 convolutions of `AutoencoderKL`'s decoder, for each frame: in, two residual blocks in the middle,
        `layers_per_block` + 1 a stage from the coarsest on, one convolution after each doubling, out; 1x1 where
        channels change.
        What of a causal one is counted, `cluster.causal_vae` says.
        """
        if self.causal:
            return self.causal.flops(latent_pixels, latent_frames)
        return self._images(latent_frames) * self._image_flops(latent_pixels)

    def _images(self, latent_frames: int) -> int:
        """Frames that a decoder of images makes of so many latent ones."""
        return latent_frames * self.frame_group // self.latent_group

    def _image_flops(self, latent_pixels: int) -> int:
        deepest = self.channels[-1]
        per_pixel = 9 * self.latent_channels * deepest + 4 * 9 * deepest**2 + self.latent_channels**2
        total = per_pixel * latent_pixels
        if self.attention:
            total += 4 * deepest**2 * latent_pixels + 2 * latent_pixels**2 * deepest
        pixels, before = latent_pixels, deepest
        for stage, channels in enumerate(reversed(self.channels)):
            shortcut = before * channels if before != channels else 0
            blocks = (9 * before * channels + 9 * channels**2 + shortcut) + self.layers_per_block * 18 * channels**2
            total += blocks * pixels
            if stage < len(self.channels) - 1:
                pixels *= 4
                total += 9 * channels**2 * pixels
            before = channels
        return 2 * (total + 9 * before * 3 * pixels)

    def peak_elements(self, latent_pixels: int, latent_frames: int) -> int:
        """Elements that are alive at the widest moment of decoding latent frames of so many pixels.

        Four tensors of the second stage's channels after the last doubling, of `frames_at_once` frames: measured on
        `AutoencoderKL`, 8 frames of 256x256 to 1536x1024 held 3.5 to 4.2 of them
        (infra/benchmarks/h200-latte-1-memory.json).
        """
        if self.causal:
            return self.causal.peak_elements(latent_pixels, latent_frames)
        pixels = self.scale**2 * latent_pixels
        at_once = min(self.frames_at_once, self._images(latent_frames))
        return at_once * 4 * self.channels[min(1, len(self.channels) - 1)] * pixels

    @property
    def parameters(self) -> int:
        """Parameters of encoder and decoder together, nearly: twice the decoder's convolutions."""
        if self.causal:
            return 2 * self.causal.parameters
        deepest = self.channels[-1]
        decoder, before = 4 * 9 * deepest**2, deepest
        for channels in reversed(self.channels):
            decoder += 9 * before * channels + (1 + 2 * self.layers_per_block) * 9 * channels**2 + 9 * channels**2
            before = channels
        return 2 * decoder
