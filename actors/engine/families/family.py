"""What the engine asks of a model, whatever its family.

Shapes: B batch (guidance branches), L text tokens, K width of the text features, D width of the model, C latent
channels, T latent frames, h and w latent height and width, F frames, H and W pixels.
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch

from actors.engine.blocks import Blocks
from actors.engine.cache import BroadcastCache
from actors.engine.collectives import Collectives
from actors.engine.families.frames import Frames
from actors.engine.parallel import SequenceParallel
from actors.engine.peers import Peers
from actors.engine.sampling_times import fresh_scheduler
from cluster.shape import Shape


class Denoiser(Protocol):
    """One forward of a transformer under a broadcast schedule."""

    def project_text(self, text_BLK: torch.Tensor, /) -> torch.Tensor:
        """Text features as the layers read them, (B, L, D); constant over a run."""

    def share_out(
        self,
        latents_BCThw: torch.Tensor,
        text_BLD: torch.Tensor,
        collectives: Collectives | None = None,
    ) -> SequenceParallel:
        """How the latents of one video are shared out over the ranks of `collectives`, else not at all, for one run."""

    def __call__(
        self,
        part: torch.Tensor,
        timestep: torch.Tensor,
        text_BLD: torch.Tensor,
        /,
        *,
        step: int,
        cache: BroadcastCache,
        parallel: Any,
    ) -> torch.Tensor:
        """The prediction for this rank's part of the latents, of its shape; `parallel` is of `share_out`."""


class Family(ABC):
    """A loaded model: the parts of a pipeline, on one device."""

    predicts_float32 = False
    """Whether guidance and the sampler work on the prediction in float32 when the weights are narrower."""

    def __init__(self, parts: Any, blocks: Blocks) -> None:
        """`parts` has `transformer`, `vae`, `text_encoder` and `scheduler`, as diffusers' pipelines have.

        `blocks` runs the transformer's.
        """
        self.parts = parts
        self.blocks = blocks
        for module in (parts.transformer, parts.vae, parts.text_encoder):
            module.eval().requires_grad_(False)

    @classmethod
    @abstractmethod
    def load(cls, path: str, device: str, dtype: torch.dtype, blocks: Blocks) -> "Family":
        """The model in the folder `path`, safetensors only; raises `ConfigError` if it cannot be had."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.parts.transformer.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The transformer's precision."""
        dtype: torch.dtype = self.parts.transformer.dtype
        return dtype

    @property
    def latents_dtype(self) -> torch.dtype:
        """The precision of the latents between the steps."""
        return self.dtype

    @abstractmethod
    def denoiser(self, shape: Shape, fps: float) -> Denoiser:
        """What denoises a video of `shape` and so many frames a second; making it costs nothing."""

    @abstractmethod
    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Text features of both prompts, each (1, L, K); none of the negative one without guidance (None)."""

    def sampler(self, steps: int, shape: Shape) -> Any:
        """A scheduler of a run's own, its timesteps set, on the CPU; `RequestError` if it has fewer."""
        return fresh_scheduler(self.parts.scheduler, steps, torch.device("cpu"), shape)

    def noise(self, size: tuple[int, int, int, int], seed: int) -> torch.Tensor:
        """The whole video's noise, (1, C, T, h, w), from `size` (C, T, h, w); drawn on the CPU, as diffusers does."""
        return self._draw((1, *size), seed)

    @abstractmethod
    def decode(self, latents_1CThw: torch.Tensor, peers: Peers) -> tuple[Frames, int]:
        """This rank's frames (f, H, W, 3), and which of the video the first of them is.

        Every rank of the gang, `peers`, calls it and has all latents. A rank may have no frames.
        """

    def _draw(self, size: tuple[int, ...], seed: int) -> torch.Tensor:
        generator = torch.Generator("cpu").manual_seed(seed)
        noise = torch.randn(size, generator=generator, dtype=self.latents_dtype)
        return noise.to(self.device) * self.parts.scheduler.init_noise_sigma
