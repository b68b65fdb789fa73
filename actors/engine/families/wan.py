"""Wan 2.1 text-to-video, as diffusers saves it.

Shapes: L text tokens, K width of the text features, C latent channels, T latent frames, h and w latent height and
width, F frames, H and W pixels.
"""

import torch
from diffusers import WanPipeline

from actors.engine.blocks import Blocks
from actors.engine.families.family import Family
from actors.engine.families.frames import Frames, on_first_rank, to_uint8
from actors.engine.models.wan import WanDenoiser
from cluster.shape import Shape


class Wan(Family):
    """A `WanPipeline` of one transformer."""

    def __init__(self, parts: WanPipeline, blocks: Blocks) -> None:
        super().__init__(parts, blocks)
        self._denoiser = WanDenoiser(parts.transformer, blocks)

    @classmethod
    def load(cls, path: str, device: str, dtype: torch.dtype, blocks: Blocks) -> "Wan":
        """The pipeline in the folder `path`; its VAE in float32, as its authors run it."""
        dtypes = {"vae": torch.float32, "default": dtype}
        parts = WanPipeline.from_pretrained(path, dtype=dtypes, use_safetensors=True, local_files_only=True)
        return cls(parts.to(device), blocks)

    @property
    def latents_dtype(self) -> torch.dtype:
        """Between the steps the latents are in float32, whatever the weights are."""
        return torch.float32

    def denoiser(self, shape: Shape, fps: float) -> WanDenoiser:
        """The same for every video."""
        return self._denoiser

    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both prompts' features, each filled up with zeros to 512 tokens, as the model was trained."""
        text, negative_text = self.parts.encode_prompt(
            prompt,
            negative_prompt=negative_prompt or "",
            do_classifier_free_guidance=negative_prompt is not None,
            max_sequence_length=512,
            device=self.device,
            dtype=self.dtype,
        )
        return text, negative_text

    def decode(self, latents_1CThw: torch.Tensor, rank: int, width: int) -> tuple[Frames, int]:
        """Rank 0 decodes all: a frame of its causal decoder needs those before it."""
        vae, config = self.parts.vae, self.parts.vae.config
        mean, std = (latents_1CThw.new_tensor(numbers) for numbers in (config.latents_mean, config.latents_std))

        def decode() -> torch.Tensor:
            scaled = latents_1CThw * std[:, None, None, None] + mean[:, None, None, None]
            pixels: torch.Tensor = vae.decode(scaled.to(vae.dtype)).sample
            return pixels

        scale = config.scale_factor_spatial
        return on_first_rank(lambda: to_uint8([decode()[0].transpose(0, 1)]), latents_1CThw, scale, rank)
