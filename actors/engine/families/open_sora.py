"""Open-Sora 1.2, as its authors published it.

Shapes: L text tokens, K width of the text features, C latent channels, T latent frames, h and w latent height and
width, f some frames, H and W pixels.
"""

import numpy as np
import torch

from actors.engine.blocks import Blocks
from actors.engine.families.family import Family
from actors.engine.families.frames import Frames, to_uint8
from actors.engine.families.published_parts import PublishedParts
from actors.engine.models.open_sora import (
    AutoencoderKLOpenSora,
    OpenSoraDenoiser,
    OpenSoraFlowScheduler,
    OpenSoraTransformer3DModel,
)
from actors.engine.peers import Peers
from actors.engine.sequence import spans
from cluster.errors import RequestError
from cluster.shape import Shape


class OpenSora(Family):
    """STDiT3 with its VAE, T5 and rectified flow.

    Of what its authors do to a prompt, small letters are all that is done here: they also strip web addresses and
    the like, and end it with the score that it is to have, as in "aesthetic score: 6.5."
    """

    @classmethod
    def load(cls, path: str, device: str, dtype: torch.dtype, blocks: Blocks) -> "OpenSora":
        """The model in the folder `path`; whatever its folder `scheduler` holds is not read."""
        models = {"transformer": OpenSoraTransformer3DModel, "vae": AutoencoderKLOpenSora}
        return cls(PublishedParts.load(path, device, dtype, **models, scheduler=OpenSoraFlowScheduler()), blocks)

    @property
    def latents_dtype(self) -> torch.dtype:
        """Between the steps the latents are in float32, as its velocity is, whatever the weights are."""
        return torch.float32

    def denoiser(self, shape: Shape, fps: float) -> OpenSoraDenoiser:
        """One that tells the model the video's size and speed."""
        size = {"height": shape.height, "width": shape.width}
        return OpenSoraDenoiser(self.parts.transformer, **size, fps=fps, blocks=self.blocks)

    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The prompt's features, of the tokens that it has, and as many of those that the model learned for none.

        Raises:
            RequestError: a negative prompt that is not empty.
        """
        if negative_prompt:
            raise RequestError(
                "the model takes no negative prompt: guidance leads away from what it learned for no prompt at all; "
                "leave negative_prompt empty"
            )
        text_1LK = self.parts.read(prompt)
        if negative_prompt is None:
            return text_1LK, None
        return text_1LK, self.parts.transformer.y_embedder.y_embedding[None, : text_1LK.shape[1]]

    def decode(self, latents_1CThw: torch.Tensor, peers: Peers) -> tuple[Frames, int]:
        """Groups of 5 latent frames, 17 frames, know nothing of each other: each rank has its own, (f, H, W, 3)."""
        vae = self.parts.vae
        groups = latents_1CThw.split(vae.latent_group, dim=2)
        lengths = [vae.group_frames(group.shape[2]) for group in groups]
        start, stop = spans(len(groups), peers.width)[peers.rank]
        first = sum(lengths[:start])
        if start == stop:
            height, columns = (edge * vae.scale_factor for edge in latents_1CThw.shape[3:])
            return np.empty((0, height, columns, 3), np.uint8), first
        mine = torch.cat(groups[start:stop], dim=2)
        return to_uint8([vae.decode(mine, sum(lengths[start:stop]))[0].transpose(0, 1)]), first
