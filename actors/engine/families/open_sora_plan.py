"""Open-Sora-Plan 1.1, as its authors published it.

Shapes: L text tokens, K width of the text features, C latent channels, T latent frames, h and w latent height and
width, t and f some frames, H and W pixels.
"""

from pathlib import Path

import numpy as np
import torch

from actors.engine.blocks import Blocks
from actors.engine.families.family import Family
from actors.engine.families.frames import Frames, to_uint8
from actors.engine.families.published_parts import PublishedParts
from actors.engine.models.latte import LatteDenoiser
from actors.engine.models.open_sora_plan import AutoencoderKLOpenSoraPlan, OpenSoraPlanTransformer3DModel
from actors.engine.peers import Peers
from actors.engine.sampling_times import load_scheduler
from actors.engine.sequence import spans
from cluster.shape import Shape


class OpenSoraPlan(Family):
    """Its Latte with its causal VAE and T5, sampled with PNDM unless the folder says otherwise.

    Source: opensora/sample of github.com/PKU-YuanGroup/Open-Sora-Plan, tag v1.1.0.
    """

    def __init__(self, parts: PublishedParts, blocks: Blocks) -> None:
        super().__init__(parts, blocks)
        # As its authors do: memory does not grow with the video, and what fits a tile is decoded in one piece.
        parts.vae.enable_tiling()
        self._denoiser = LatteDenoiser(parts.transformer, blocks)

    @classmethod
    def load(cls, path: str, device: str, dtype: torch.dtype, blocks: Blocks) -> "OpenSoraPlan":
        """The model in the folder `path`."""
        models = {"transformer": OpenSoraPlanTransformer3DModel, "vae": AutoencoderKLOpenSoraPlan}
        scheduler = load_scheduler(Path(path), "OpenSoraPlanPipeline")
        return cls(PublishedParts.load(path, device, dtype, **models, scheduler=scheduler), blocks)

    def denoiser(self, shape: Shape, fps: float) -> LatteDenoiser:
        """The same for every video."""
        return self._denoiser

    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The prompt's features, of the tokens that it has, and as many of the negative one's.

        A negative prompt of fewer tokens is filled up with what T5 makes of padding, one of more is cut off.
        """
        text_1LK = self.parts.read(prompt)
        if negative_prompt is None:
            return text_1LK, None
        return text_1LK, self.parts.read(negative_prompt, padded=True)[:, : text_1LK.shape[1]]

    def decode(self, latents_1CThw: torch.Tensor, peers: Peers) -> tuple[Frames, int]:
        """Tiles of 17 latent frames know nothing of each other: each rank has its own, (f, H, W, 3).

        A tile is not cut further: a frame of its causal decoder needs those before it, and its norms all frames.
        """
        vae = self.parts.vae
        total = latents_1CThw.shape[2]
        tiles = vae.tiling.starts(total)
        first, last = spans(len(tiles), peers.width)[peers.rank]
        if first == last:
            height, columns = (edge * 8 for edge in latents_1CThw.shape[3:])
            return np.empty((0, height, columns, 3), np.uint8), 4 * total - 3
        mine_1Cthw = latents_1CThw[:, :, tiles[first] : tiles[last - 1] + vae.tiling.frames]
        scaled_1Cthw = mine_1Cthw.to(vae.dtype) / vae.config.scaling_factor
        pixels = vae.decode(scaled_1Cthw).sample if len(tiles) == 1 else vae.decode_part(scaled_1Cthw)
        # A tile after the first begins with the last latent frame of the one before, whose picture is there already.
        shown = 1 if first else 0
        return to_uint8([pixels[0, :, shown:].transpose(0, 1)]), 4 * tiles[first] + shown
