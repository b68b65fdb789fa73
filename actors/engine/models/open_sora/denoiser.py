"""Open-Sora 1.2's STDiT3 under a broadcast schedule and frame parallelism.

Shapes: B batch (guidance branches), T frames of this rank, S patches of a frame, D width, L text tokens, K width of
the text features, C latent channels, h and w latent height and width.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch

from actors.engine.blocks import Blocks, Sites, any_length
from actors.engine.cache import BroadcastCache, Place
from actors.engine.collectives import Collectives
from actors.engine.models.open_sora.blocks import Block
from actors.engine.models.open_sora.embeddings import Rotation
from actors.engine.models.open_sora.transformer import OpenSoraTransformer3DModel
from actors.engine.sequence import FrameParallel


class OpenSoraDenoiser:
    """One forward of `OpenSoraTransformer3DModel`, with its attention sites named, for videos of one size and speed.

    Layer i is spatial block i, then temporal block i; each is self-attention (of the block's kind), cross attention
    and MLP. What a site broadcasts is its output before the gate, which follows the timestep; cross attention has
    none. Making a denoiser costs nothing: a request has its own.
    """

    def __init__(
        self, model: OpenSoraTransformer3DModel, *, height: int, width: int, fps: float, blocks: Blocks | None = None
    ) -> None:
        """Drive `model`, told the video's `height` and `width` in pixels and its frames a second."""
        self._model = model
        self._size = (height, width)
        self._fps = fps
        self._blocks = blocks or Blocks()

    def project_text(self, text_BLK: torch.Tensor) -> torch.Tensor:
        """Text features (B, L, K) as cross attention reads them, (B, L, D); constant over a run."""
        return self._model.project_text(text_BLK)

    def share_out(
        self,
        latents_BCThw: torch.Tensor,
        text_BLD: torch.Tensor,
        collectives: Collectives | None = None,
    ) -> FrameParallel:
        """How a video's latent frames are shared out by `collectives`, for one run; each rank reads all of the text."""
        frames, *edges = latents_BCThw.shape[2:]
        patches = [-(-edge // patch) for edge, patch in zip(edges, self._model.config.patch_size[1:], strict=True)]
        return FrameParallel(frames, math.prod(patches), collectives)

    def __call__(
        self,
        latents_BCThw: torch.Tensor,
        timestep: torch.Tensor,
        text_BLD: torch.Tensor,
        *,
        step: int,
        cache: BroadcastCache,
        parallel: FrameParallel,
    ) -> torch.Tensor:
        """The velocity for this rank's frames, (B, C, T, h, w) in float32; the variance half is dropped.

        `timestep` is of no dimension, 0..1000. All tokens of `text_BLD` are read, so it comes without padding.
        """
        model, (batch, channels) = self._model, latents_BCThw.shape[:2]
        timestep_B, text_BLD = timestep.expand(batch), any_length(text_BLD, 1)
        fps_B = torch.full_like(timestep_B, self._fps, dtype=torch.float32)
        embedded_BD, conditioning_B6D = model.condition(timestep_B, fps_B)
        x_BTSD = model.embed(latents_BCThw, *self._size)
        rotation = model.rope(parallel.num_frames)
        layers: Iterable[tuple[Any, Any]] = zip(model.spatial_blocks, model.temporal_blocks, strict=True)
        for layer, blocks in enumerate(layers):
            for block in blocks:
                at = Place(layer, step, (block.kind, "cross", "mlp"), block.kind)
                shared = parallel if block.kind == "temporal" else None
                inputs = (block, x_BTSD, text_BLD, conditioning_B6D, rotation, shared)
                x_BTSD = self._blocks.run(_block, cache, at, *inputs)
        return model.finish(x_BTSD, embedded_BD, latents_BCThw.shape[3:])[:, :channels]


def _block(
    site: Sites,
    block: Block,
    x_BTSD: torch.Tensor,
    text_BLD: torch.Tensor,
    conditioning_B6D: torch.Tensor,
    rotation: Rotation,
    parallel: FrameParallel | None,
) -> torch.Tensor:
    modulation = block.modulation(conditioning_B6D)

    def itself() -> torch.Tensor:
        return _attend(block, block.prepare(x_BTSD, modulation), rotation, parallel)

    x_BTSD = x_BTSD + modulation.gate * site(block.kind, itself)
    x_BTSD = x_BTSD + site("cross", lambda: block.cross(x_BTSD, text_BLD))
    return x_BTSD + modulation.gate_mlp * site("mlp", lambda: block.feed_forward(x_BTSD, modulation))


def _attend(block: Block, x_BTSD: torch.Tensor, rotation: Rotation, parallel: FrameParallel | None) -> torch.Tensor:
    """Self-attention for this rank's frames; with `parallel` it asks the other ranks for theirs."""
    if parallel is None:
        return block.attend(x_BTSD, rotation)
    return parallel.to_frames(block.attend(parallel.to_patches(x_BTSD), rotation))
