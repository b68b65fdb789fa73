"""Wan 2.1 text-to-video, as diffusers saves it.

Shapes: L text tokens, K width of the text features, C latent channels, T latent frames, h and w latent height and
width, F frames, H and W pixels.
"""

from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanResample
from torch import nn
from transformers import UMT5EncoderModel

from actors.engine.blocks import Blocks
from actors.engine.families.family import Family
from actors.engine.families.frames import Frames, to_uint8
from actors.engine.families.saved_parts import load_pipeline
from actors.engine.families.wavefront import Hook, Wavefront
from actors.engine.models.wan import WanDenoiser
from actors.engine.peers import Peers
from cluster.shape import Shape


class Wan(Family):
    """A `WanPipeline` of one transformer."""

    def __init__(self, parts: WanPipeline, blocks: Blocks) -> None:
        super().__init__(parts, blocks)
        self._denoiser = WanDenoiser(parts.transformer, blocks)

    @classmethod
    def load(cls, path: str, device: str, dtype: torch.dtype, blocks: Blocks) -> "Wan":
        """The pipeline in the folder `path`; its VAE in float32, as its authors run it."""
        kinds = {"transformer": WanTransformer3DModel, "vae": AutoencoderKLWan, "text_encoder": UMT5EncoderModel}
        dtypes = {**dict.fromkeys(kinds, dtype), "vae": torch.float32}
        return cls(load_pipeline(WanPipeline, path, kinds, dtypes).to(device), blocks)

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

    def decode(self, latents_1CThw: torch.Tensor, peers: Peers) -> tuple[Frames, int]:
        """Its causal decoder takes a latent frame at a time: each rank has its own. All frames end on rank 0."""
        vae, config = self.parts.vae, self.parts.vae.config
        mean, std = (latents_1CThw.new_tensor(numbers) for numbers in (config.latents_mean, config.latents_std))
        scaled_1CThw = (latents_1CThw * std[:, None, None, None] + mean[:, None, None, None]).to(vae.dtype)
        if peers.width == 1:
            return to_uint8([vae.decode(scaled_1CThw).sample[0].transpose(0, 1)]), 0
        chunks = vae.post_quant_conv(scaled_1CThw).split(1, dim=2)
        lengths = [1, *[config.scale_factor_temporal] * (len(chunks) - 1)]
        wavefront = Wavefront(peers, lengths, before_video=torch.zeros_like)
        hooks = _hooks(vae.decoder, wavefront)

        def decode(chunk: int) -> torch.Tensor:
            caches = {"feat_cache": _Words([None] * len(hooks)), "feat_idx": [0]}
            pixels: torch.Tensor = vae.decoder(chunks[chunk], **caches, first_chunk=chunk == 0)
            return pixels

        height, columns = (edge * config.scale_factor_spatial for edge in latents_1CThw.shape[3:])
        return wavefront.run(decode, hooks, (height, columns)), 0


class _Words(list[Any]):
    """The library's cache, which keeps the words that are put into it and no frames."""

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value if isinstance(value, str) else None)


def _hooks(decoder: nn.Module, wavefront: Wavefront) -> dict[nn.Module, Hook]:
    """What gives each convolution over time its past.

    Of the library's own cache nothing is read, but for the word that it has where frames are doubled: there, an empty
    one says that this is the video's first chunk, which is not doubled.
    """

    def feed(conv: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (args[0], wavefront.past(conv, args[0])), kwargs

    def double(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if wavefront.chunk:
            kwargs["feat_cache"][kwargs["feat_idx"][0]] = "Rep"
        else:
            wavefront.skip(layer.time_conv, *args)

    hooks: dict[nn.Module, Hook] = {}
    for layer in decoder.modules():
        if isinstance(layer, WanCausalConv3d) and layer.kernel_size[0] > 1:
            hooks[layer] = feed
        elif isinstance(layer, WanResample) and layer.mode == "upsample3d":
            hooks[layer] = double
    return hooks
