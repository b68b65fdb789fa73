"""CogVideoX 1.0, as diffusers saves it.

Shapes: L text tokens, K width of the text features, C latent channels, T latent frames, h and w latent height and
width, F frames, H and W pixels.
"""

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXPipeline

from actors.engine.blocks import Blocks
from actors.engine.families.family import Family
from actors.engine.families.frames import Frames, on_first_rank, to_uint8
from actors.engine.models.cogvideox import CogVideoXDenoiser
from cluster.shape import Shape


class CogVideoX(Family):
    """A `CogVideoXPipeline`.

    5B is published with a sampler that draws new noise at every step, `CogVideoXDPMScheduler`; here DDIM with the
    same numbers stands in for it, as in 2B: then a request has one video, whatever gang makes it.
    """

    predicts_float32 = True

    def __init__(self, parts: CogVideoXPipeline, blocks: Blocks) -> None:
        super().__init__(parts, blocks)
        if not isinstance(parts.scheduler, CogVideoXDDIMScheduler):
            parts.scheduler = CogVideoXDDIMScheduler.from_config(parts.scheduler.config)
        self._denoiser = CogVideoXDenoiser(parts.transformer, blocks)

    @classmethod
    def load(cls, path: str, device: str, dtype: torch.dtype, blocks: Blocks) -> "CogVideoX":
        """The pipeline in the folder `path`."""
        parts = CogVideoXPipeline.from_pretrained(path, dtype=dtype, use_safetensors=True, local_files_only=True)
        return cls(parts.to(device), blocks)

    def denoiser(self, shape: Shape, fps: float) -> CogVideoXDenoiser:
        """The same for every video."""
        return self._denoiser

    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both prompts' features, each filled up to as many tokens as the model takes: it attends to all of them."""
        text, negative_text = self.parts.encode_prompt(
            prompt,
            negative_prompt=negative_prompt or "",
            do_classifier_free_guidance=negative_prompt is not None,
            max_sequence_length=self.parts.transformer.config.max_text_seq_length,
            device=self.device,
            dtype=self.dtype,
        )
        return text, negative_text

    def noise(self, size: tuple[int, int, int, int], seed: int) -> torch.Tensor:
        """(1, C, T, h, w); diffusers draws the frames before the channels."""
        channels, frames, height, width = size
        return self._draw((1, frames, channels, height, width), seed).transpose(1, 2)

    def decode(self, latents_1CThw: torch.Tensor, rank: int, width: int) -> tuple[Frames, int]:
        """Rank 0 decodes all: a frame of its causal decoder needs those before it, and its norms the whole frame."""
        vae = self.parts.vae

        def decode() -> torch.Tensor:
            pixels: torch.Tensor = vae.decode(latents_1CThw.to(vae.dtype) / vae.config.scaling_factor).sample
            return pixels

        return on_first_rank(lambda: to_uint8([decode()[0].transpose(0, 1)]), latents_1CThw, 8, rank)
