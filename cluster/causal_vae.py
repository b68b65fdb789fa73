"""What a decoder of causal 3-D convolutions costs: diffusers' `AutoencoderKLCogVideoX` and `AutoencoderKLWan`.

Both go through their stages from the coarsest on. A stage has residual blocks of two 3x3x3 convolutions, and 1x1x1
where channels change; all but the last double the edges, followed by a 3x3 convolution a frame. The first stages double
the frames too, but for the first one, which has nothing before it. CogVideoX conditions each norm on the latents, by
two 1x1x1 convolutions. Wan halves the channels as it doubles the edges, doubles frames by a convolution over time, and
has attention over each frame in its middle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

CACHED_FRAMES = 2
"""Frames of its input that a 3x3x3 convolution keeps for the next call."""
WIDEST = 4
"""Tensors alive at once in the second stage's channels after the last doubling: as in the image decoder, by analogy."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a decoder, at a latent's size."""

    before: int
    """Channels that come in."""
    channels: int
    frames: int
    pixels: int
    """Of a frame."""
    doubles: Literal["", "edges", "edges and frames"]

    @property
    def places(self) -> int:
        """Pixels of all frames."""
        return self.frames * self.pixels

    @property
    def places_after(self) -> int:
        """Likewise after the doubling."""
        frames = 2 * self.frames - 1 if self.doubles == "edges and frames" else self.frames
        return 4 * self.pixels * frames


@dataclass(frozen=True, kw_only=True)
class CausalDecoder:
    """The convolutions of one of the two, and what they cost."""

    kind: Literal["cogvideox", "wan"]
    channels: Sequence[int]
    """Of its stages, finest first."""
    blocks: int
    """Residual blocks of a stage."""
    latent_channels: int
    frame_doublings: int
    """How many stages double the frames, from the coarsest on."""

    def flops(self, latent_pixels: int, latent_frames: int) -> int:
        """Operations of decoding so many latent frames: every convolution, and the attention of Wan's middle."""
        total = sum(weights * places for weights, places in self._convolutions(latent_pixels, latent_frames))
        if self.kind == "wan":
            total += 2 * latent_frames * latent_pixels**2 * self.channels[-1]
        return 2 * total

    def rank_frames(self, latent_frames: int, width: int) -> int:
        """Latent frames by which the busiest rank of a gang of `width` is counted; its chunks are dealt in turn.

        A chunk is a latent frame (Wan), or two, the first three where they are odd (CogVideoX). Wan's first makes one
        frame of the four that others make, and the ranks keep pace: in a gang it counts as one more.
        """
        if self.kind == "wan":
            return latent_frames if width == 1 else min(-(-latent_frames // width) + 1, latent_frames)
        chunks = -(-max(1, latent_frames // 2) // width)
        return min(latent_frames, 2 + latent_frames % 2) + 2 * (chunks - 1)

    @property
    def parameters(self) -> int:
        """Weights of its convolutions."""
        return sum(weights for weights, _ in self._convolutions(1, 1))

    def peak_elements(self, latent_pixels: int, latent_frames: int) -> int:
        """Elements alive at the widest moment: `WIDEST` tensors of the frames that a call makes, what the convolutions
        keep for the next call, and all finished frames. In a gang, rank 0 has what they keep from another rank.

        A call takes one latent frame (Wan), or two, the first three (CogVideoX).
        """
        at_once = min(latent_frames, 3 if self.kind == "cogvideox" else 1) << self.frame_doublings
        stages = list(self._stages(latent_pixels, latent_frames))
        kept = sum(stage.pixels * (stage.before + (2 * self.blocks - 1) * stage.channels) for stage in stages)
        widest = WIDEST * self.channels[min(1, len(self.channels) - 1)] * at_once
        return stages[-1].pixels * widest + CACHED_FRAMES * kept + 3 * stages[-1].places

    def _stages(self, latent_pixels: int, latent_frames: int) -> Iterator[Stage]:
        frames, pixels, before = latent_frames, latent_pixels, self.channels[-1]
        for index, channels in enumerate(reversed(self.channels)):
            last, in_time = index == len(self.channels) - 1, index < self.frame_doublings
            yield Stage(
                before=before,
                channels=channels,
                frames=frames,
                pixels=pixels,
                doubles="" if last else "edges and frames" if in_time else "edges",
            )
            before = channels // 2 if self.kind == "wan" else channels
            frames, pixels = 2 * frames - 1 if in_time else frames, 4 * pixels

    def _convolutions(self, latent_pixels: int, latent_frames: int) -> Iterator[tuple[int, int]]:
        """Weights of each convolution, and pixels of all frames that it is applied to."""
        deepest, finest, latent = self.channels[-1], self.channels[0], self.latent_channels
        places = latent_pixels * latent_frames
        yield 27 * latent * deepest, places
        yield 2 * self._block(deepest, deepest), places
        if self.kind == "wan":
            yield latent**2 + 4 * deepest**2, places
        for stage in self._stages(latent_pixels, latent_frames):
            yield self._block(stage.before, stage.channels), stage.places
            yield (self.blocks - 1) * self._block(stage.channels, stage.channels), stage.places
            yield from self._doubling(stage)
            places = stage.places
        yield 27 * finest * 3 + self._norm(finest), places

    def _block(self, before: int, channels: int) -> int:
        """Weights of a residual block."""
        shortcut = before * channels if before != channels else 0
        return 27 * (before + channels) * channels + shortcut + self._norm(before) + self._norm(channels)

    def _norm(self, channels: int) -> int:
        return 2 * self.latent_channels * channels if self.kind == "cogvideox" else 0

    def _doubling(self, stage: Stage) -> Iterator[tuple[int, int]]:
        if not stage.doubles:
            return
        if self.kind == "cogvideox":
            yield 9 * stage.channels**2, stage.places_after
            return
        yield 9 * stage.channels * (stage.channels // 2), stage.places_after
        if stage.doubles == "edges and frames":
            yield 3 * stage.channels * 2 * stage.channels, stage.places - stage.pixels
