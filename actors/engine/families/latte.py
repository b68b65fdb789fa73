"""Latte, as diffusers saves it.

Shapes: C latent channels, T frames, t this rank's frames, h and w latent height and width, H and W pixels.
"""

import torch
from diffusers import AutoencoderKL, LattePipeline, LatteTransformer3DModel
from transformers import T5EncoderModel

from actors.engine.blocks import Blocks
from actors.engine.families.family import Family
from actors.engine.families.frames import Frames, to_uint8
from actors.engine.families.saved_parts import load_pipeline
from actors.engine.models.latte import LatteDenoiser
from actors.engine.peers import Peers
from actors.engine.sequence import spans
from cluster.shape import Shape

_FRAMES_AT_ONCE = 8


class Latte(Family):
    """A `LattePipeline`."""

    def __init__(self, parts: LattePipeline, blocks: Blocks) -> None:
        super().__init__(parts, blocks)
        self._denoiser = LatteDenoiser(parts.transformer, blocks)

    @classmethod
    def load(cls, path: str, device: str, dtype: torch.dtype, blocks: Blocks) -> "Latte":
        """The pipeline in the folder `path`."""
        kinds = {"transformer": LatteTransformer3DModel, "vae": AutoencoderKL, "text_encoder": T5EncoderModel}
        return cls(load_pipeline(LattePipeline, path, kinds, dict.fromkeys(kinds, dtype)).to(device), blocks)

    def denoiser(self, shape: Shape, fps: float) -> LatteDenoiser:
        """The same for every video."""
        return self._denoiser

    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both prompts' features, of the tokens that they have."""
        text, negative_text = self.parts.encode_prompt(
            prompt,
            do_classifier_free_guidance=negative_prompt is not None,
            negative_prompt=negative_prompt or "",
            device=self.device,
        )
        return text, negative_text

    def decode(self, latents_1CThw: torch.Tensor, peers: Peers) -> tuple[Frames, int]:
        """An image VAE decodes a frame at a time: each rank has its own, uint8 (t, H, W, 3)."""
        start, stop = spans(latents_1CThw.shape[2], peers.width)[peers.rank]
        vae = self.parts.vae
        scaled_tChw = (latents_1CThw[0, :, start:stop].transpose(0, 1) / vae.config.scaling_factor).to(vae.dtype)
        return to_uint8(vae.decode(part, return_dict=False)[0] for part in scaled_tChw.split(_FRAMES_AT_ONCE)), start
