"""CogVideoX 1.0, as diffusers saves it.

Shapes: L text tokens, K width of the text features, C latent channels, T latent frames, h and w latent height and
width, F frames, H and W pixels.
"""

from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
)
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d
from transformers import T5EncoderModel

from actors.engine.blocks import Blocks
from actors.engine.families.family import Family
from actors.engine.families.frames import Frames, to_uint8
from actors.engine.families.saved_parts import load_pipeline
from actors.engine.families.wavefront import Wavefront
from actors.engine.models.cogvideox import CogVideoXDenoiser
from actors.engine.peers import Peers
from cluster.shape import Shape


class CogVideoX(Family):
    """A `CogVideoXPipeline`.

    5B is published with a sampler that draws new noise at every step, `CogVideoXDPMScheduler`; DDIM with the
    same numbers is loaded for it, as in 2B: then a request has one video, whatever gang makes it.
    """

    predicts_float32 = True

    def __init__(self, parts: CogVideoXPipeline, blocks: Blocks) -> None:
        super().__init__(parts, blocks)
        self._denoiser = CogVideoXDenoiser(parts.transformer, blocks)

    @classmethod
    def load(cls, path: str, device: str, dtype: torch.dtype, blocks: Blocks) -> "CogVideoX":
        """The pipeline in the folder `path`."""
        kinds = {
            "transformer": CogVideoXTransformer3DModel,
            "vae": AutoencoderKLCogVideoX,
            "text_encoder": T5EncoderModel,
        }
        return cls(load_pipeline(CogVideoXPipeline, path, kinds, dict.fromkeys(kinds, dtype)).to(device), blocks)

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

    def decode(self, latents_1CThw: torch.Tensor, peers: Peers) -> tuple[Frames, int]:
        """Its causal decoder takes two latent frames at a time, the odd one with the first two: each rank has its own.

        Norms are over such a chunk, so it is not cut further. All frames end on rank 0.
        """
        vae = self.parts.vae
        scaled_1CThw = latents_1CThw.to(vae.dtype) / vae.config.scaling_factor
        if peers.width == 1:
            return to_uint8([vae.decode(scaled_1CThw).sample[0].transpose(0, 1)]), 0
        chunks = scaled_1CThw.split(_chunk_lengths(scaled_1CThw.shape[2], vae.num_latent_frames_batch_size), dim=2)
        wavefront = Wavefront(peers, [_frames(chunk.shape[2]) for chunk in chunks], before_video=lambda first: first)

        def feed(conv: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            return args, {"conv_cache": wavefront.past(conv, *args)}

        def decode(chunk: int) -> torch.Tensor:
            inner = chunks[chunk] if vae.post_quant_conv is None else vae.post_quant_conv(chunks[chunk])
            pixels: torch.Tensor = vae.decoder(inner)[0]
            return pixels

        layers = (layer for layer in vae.decoder.modules() if isinstance(layer, CogVideoXCausalConv3d))
        hooks = {layer: feed for layer in layers if layer.time_kernel_size > 1}
        height, columns = (edge * 8 for edge in latents_1CThw.shape[3:])
        return wavefront.run(decode, hooks, (height, columns)), 0


def _chunk_lengths(latent_frames: int, at_once: int) -> list[int]:
    first = min(latent_frames, at_once + latent_frames % at_once)
    return [first, *[at_once] * ((latent_frames - first) // at_once)]


def _frames(latent_frames: int) -> int:
    """Of a chunk: two doublings, of which an odd chunk's first frame is left out."""
    odd = latent_frames % 2
    return 4 * (latent_frames - odd) + odd
