"""Latte (arXiv 2401.03048) under a broadcast schedule and frame parallelism, over diffusers' own modules.

Shapes: B batch (guidance branches), T frames of this rank, S patches of a frame, D width, L text tokens,
H heads, E width of a head, C latent channels, h and w latent height and width.
"""

from typing import Any

import torch
from diffusers import LatteTransformer3DModel

from actors.engine.blocks import Blocks, Sites, any_length
from actors.engine.cache import BroadcastCache, Place
from actors.engine.collectives import Collectives
from actors.engine.feed_forward import feed_forward
from actors.engine.frame_attention import attend_frames
from actors.engine.sequence import FrameParallel


class LatteDenoiser:
    """One forward of `LatteTransformer3DModel`, with its attention sites named.

    Layer i is spatial block i (spatial attention, cross attention, MLP) and temporal block i (temporal
    attention, MLP). The model's own weights and submodules do the work; nothing in it is changed.
    """

    def __init__(self, model: LatteTransformer3DModel, blocks: Blocks | None = None) -> None:
        self._model = model
        self._blocks = blocks or Blocks()

    def project_text(self, text_BLK: torch.Tensor) -> torch.Tensor:
        """Text features (B, L, K) as the cross attention reads them, (B, L, D); constant over a run."""
        projected: torch.Tensor = self._model.caption_projection(text_BLK)
        return projected

    def share_out(
        self,
        latents_BCThw: torch.Tensor,
        text_BLD: torch.Tensor,
        collectives: Collectives | None = None,
    ) -> FrameParallel:
        """How one video's frames are shared out by `collectives`, for one run; each rank reads all of the text."""
        frames, height, width = latents_BCThw.shape[2:]
        patch = self._model.config.patch_size
        return FrameParallel(frames, (height // patch) * (width // patch), collectives)

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
        """The model's prediction for this rank's frames, (B, C, T, h, w); the variance half is dropped."""
        model = self._model
        batch, channels, frames, height, width = latents_BCThw.shape
        grid = (height // model.config.patch_size, width // model.config.patch_size)
        text_BLD = any_length(text_BLD, 1)
        x_BTSD = model.pos_embed(latents_BCThw.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, frames))
        modulation_B6D, embedded_BD = model.adaln_single(
            timestep.expand(batch),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            batch_size=batch,
            hidden_dtype=x_BTSD.dtype,
        )
        blocks = zip(model.transformer_blocks, model.temporal_transformer_blocks, strict=True)
        for layer, (spatial, temporal) in enumerate(blocks):
            at = Place(layer, step, ("spatial", "cross", "mlp"), "spatial")
            x_BTSD = self._blocks.run(_spatial_block, cache, at, spatial, x_BTSD, text_BLD, modulation_B6D)
            if layer == 0:
                x_BTSD = x_BTSD + model.temp_pos_embed[:, parallel.frames, None].to(x_BTSD.dtype)
            at = Place(layer, step, ("temporal", "mlp"), "temporal")
            inputs = (temporal, x_BTSD, modulation_B6D, parallel)
            x_BTSD = self._blocks.run(_temporal_block, cache, at, *inputs)
        shift, scale = (model.scale_shift_table[None] + embedded_BD[:, None])[:, :, None, None].unbind(1)
        x_BTSD = model.proj_out(model.norm_out(x_BTSD) * (1 + scale) + shift)
        return _unpatchify(x_BTSD, grid, model.config.patch_size)[:, :channels]


def _spatial_block(
    site: Sites, block: Any, x_BTSD: torch.Tensor, text_BLD: torch.Tensor, modulation_B6D: torch.Tensor
) -> torch.Tensor:
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = _modulation(block, modulation_B6D)
    batch, frames, patches, _ = x_BTSD.shape

    def spatial() -> torch.Tensor:
        normed = block.norm1(x_BTSD) * (1 + scale) + shift
        return block.attn1(normed.flatten(0, 1)).unflatten(0, (batch, frames))

    x_BTSD = x_BTSD + gate * site("spatial", spatial)

    def cross() -> torch.Tensor:
        # A token reads the same text whatever its frame: the frames are one long query, text is projected once.
        return block.attn2(x_BTSD.flatten(1, 2), encoder_hidden_states=text_BLD).unflatten(1, (frames, patches))

    x_BTSD = x_BTSD + site("cross", cross)
    mlp = site("mlp", lambda: feed_forward(block.ff, block.norm2(x_BTSD) * (1 + scale_mlp) + shift_mlp))
    return x_BTSD + gate_mlp * mlp


def _temporal_block(
    site: Sites, block: Any, x_BTSD: torch.Tensor, modulation_B6D: torch.Tensor, parallel: FrameParallel
) -> torch.Tensor:
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = _modulation(block, modulation_B6D)

    def temporal() -> torch.Tensor:
        normed = parallel.to_patches(block.norm1(x_BTSD) * (1 + scale) + shift)
        return parallel.to_frames(_attend_frames(block.attn1, normed))

    x_BTSD = x_BTSD + gate * site("temporal", temporal)
    mlp = site("mlp", lambda: feed_forward(block.ff, block.norm2(x_BTSD) * (1 + scale_mlp) + shift_mlp))
    return x_BTSD + gate_mlp * mlp


def _attend_frames(attn: Any, x_BTSD: torch.Tensor) -> torch.Tensor:
    """The attention of each patch of this rank to itself, and its projection; T are all frames here."""
    q_BTSHE, k_BTSHE, v_BTSHE = (
        project(x_BTSD).unflatten(3, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v)
    )
    projection, dropout = attn.to_out
    return dropout(projection(attend_frames(q_BTSHE, k_BTSHE, v_BTSHE).flatten(3)))


def _modulation(block: Any, modulation_B6D: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Shift, scale and gate of the attention and of the MLP, each (B, 1, 1, D)."""
    batch = modulation_B6D.shape[0]
    table_16D = block.scale_shift_table[None]
    return (table_16D + modulation_B6D.reshape(batch, 6, -1))[:, :, None, None].unbind(1)


def _unpatchify(x_BTSD: torch.Tensor, grid: tuple[int, int], patch: int) -> torch.Tensor:
    """Patches (B, T, S, patch * patch * C) to latents (B, C, T, h, w)."""
    rows, columns = grid
    x = x_BTSD.unflatten(2, (rows, columns)).unflatten(4, (patch, patch, -1))
    return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)
