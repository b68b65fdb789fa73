"""Wan 2.1 text-to-video (arXiv 2503.20314) under a broadcast schedule and token parallelism, over diffusers' modules.

Shapes: B batch (guidance branches), n this rank's tokens of the N of the video, L text tokens, K width of the text
features, D width, H heads, E width of a head, V values of a patch, C latent channels, T frames, h and w latent height
and width.
"""

import math
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.embeddings import apply_rotary_emb

from actors.engine.blocks import Blocks, Sites
from actors.engine.cache import BroadcastCache, Place
from actors.engine.collectives import Collectives
from actors.engine.feed_forward import feed_forward
from actors.engine.patches import PatchGrid
from actors.engine.token_parallel import Positions, Rotation, TokenParallel
from cluster.errors import ConfigError


class WanDenoiser:
    """One forward of `WanTransformer3DModel`, with its attention sites named.

    A layer is self-attention of the whole video (kind spatial), cross attention, and an MLP. What a site broadcasts
    is its output after the out-projection and before the gate. Norms, gates and the residual's sums are in float32
    whatever the weights are, as in diffusers.
    """

    def __init__(self, model: WanTransformer3DModel, blocks: Blocks | None = None) -> None:
        """Drive `model`, whose weights and submodules do the work; nothing in it is changed.

        Raises:
            ConfigError: it wants an image, too.
        """
        for field in ("image_dim", "added_kv_proj_dim"):
            if model.config[field] is not None:
                raise ConfigError(f"the model has {field} {model.config[field]}: it wants an image; only text runs")
        self._model = model
        self._blocks = blocks or Blocks()

    def project_text(self, text_BLK: torch.Tensor) -> torch.Tensor:
        """Text features (B, L, K) as cross attention reads them, (B, L, D); constant over a run."""
        return self._model.condition_embedder.text_embedder(text_BLK)

    def share_out(
        self,
        latents_BCThw: torch.Tensor,
        text_BLD: torch.Tensor,
        collectives: Collectives | None = None,
    ) -> TokenParallel:
        """How one video's tokens are shared out by `collectives`, for one run; each rank reads all of the text.

        Raises:
            RequestError: the latents do not divide into patches.
            ConfigError: the heads do not divide over the ranks.
        """
        config = self._model.config
        grid = PatchGrid.over(latents_BCThw, config.patch_size)
        parallel = TokenParallel(grid, config.num_attention_heads, collectives)
        parallel.positions = self._positions(parallel)
        return parallel

    def __call__(
        self,
        patches_BnV: torch.Tensor,
        timestep: torch.Tensor,
        text_BLD: torch.Tensor,
        *,
        step: int,
        cache: BroadcastCache,
        parallel: TokenParallel,
    ) -> torch.Tensor:
        """The model's prediction for this rank's patches, (B, n, V), laid out as `parallel.share` gives them.

        The latents stay shared out over a run, for the sampler works on each number alone: a forward gathers
        nothing.
        """
        model = self._model
        embedded_BD, conditioning_B6D = self._embed_time(timestep.expand(len(patches_BnV)), text_BLD)
        weight_DV = model.patch_embedding.weight.flatten(1)
        # Patches through the weights of the convolution whose windows they are.
        x_BnD = torch.nn.functional.linear(patches_BnV.to(weight_DV.dtype), weight_DV, model.patch_embedding.bias)
        for layer, block in enumerate(model.blocks):
            at = Place(layer, step, ("spatial", "cross", "mlp"))
            inputs = (block, x_BnD, text_BLD, conditioning_B6D, parallel.positions.rotation, parallel)
            x_BnD = self._blocks.run(_block, cache, at, *inputs)
        shift, scale = (model.scale_shift_table + embedded_BD[:, None]).chunk(2, dim=1)
        x_BnD = (model.norm_out(x_BnD.float()) * (1 + scale) + shift).type_as(x_BnD)
        # The projection's values run over a patch first, then channels; the convolution's the other way.
        return model.proj_out(x_BnD).unflatten(2, (math.prod(parallel.grid.patch), -1)).transpose(2, 3).flatten(2)

    def _embed_time(self, timestep_B: torch.Tensor, text_BLD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The timestep for the last layer, (B, D), and for the blocks, (B, 6, D)."""
        embedder = self._model.condition_embedder
        waves = embedder.timesteps_proj(timestep_B).to(embedder.time_embedder.linear_1.weight.dtype)
        embedded_BD = embedder.time_embedder(waves).type_as(text_BLD)
        return embedded_BD, embedder.time_proj(embedder.act_fn(embedded_BD)).unflatten(1, (6, -1))

    def _positions(self, parallel: TokenParallel) -> Positions:
        sizes = torch.empty((1, *parallel.grid.latent_size), device="meta")
        cos_1N1E, sin_1N1E = self._model.rope(sizes)
        return Positions(rotation=(cos_1N1E[0, parallel.video, 0], sin_1N1E[0, parallel.video, 0]))


def _block(
    site: Sites,
    block: Any,
    x_BnD: torch.Tensor,
    text_BLD: torch.Tensor,
    conditioning_B6D: torch.Tensor,
    rotation: Rotation,
    parallel: TokenParallel,
) -> torch.Tensor:
    modulation = (block.scale_shift_table + conditioning_B6D.float()).chunk(6, dim=1)
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation

    def itself() -> torch.Tensor:
        normed = (block.norm1(x_BnD.float()) * (1 + scale) + shift).type_as(x_BnD)
        return _attend(block.attn1, normed, rotation, parallel)

    x_BnD = (x_BnD.float() + site("spatial", itself) * gate).type_as(x_BnD)

    def cross() -> torch.Tensor:
        return block.attn2(block.norm2(x_BnD.float()).type_as(x_BnD), text_BLD)

    x_BnD = x_BnD + site("cross", cross)

    def mlp() -> torch.Tensor:
        return feed_forward(block.ffn, (block.norm3(x_BnD.float()) * (1 + scale_mlp) + shift_mlp).type_as(x_BnD))

    return (x_BnD.float() + site("mlp", mlp).float() * gate_mlp).type_as(x_BnD)


def _attend(attn: Any, x_BnD: torch.Tensor, rotation: Rotation, parallel: TokenParallel) -> torch.Tensor:
    """Attention of the whole video to itself, and its projection, for this rank's tokens."""
    # The norms run across all heads, which the rank still has at this point.
    parts = attn.norm_q(attn.to_q(x_BnD)), attn.norm_k(attn.to_k(x_BnD)), attn.to_v(x_BnD)
    q_BnHE, k_BnHE, v_BnHE = (part.unflatten(2, (attn.heads, -1)) for part in parts)
    q_BnHE = apply_rotary_emb(q_BnHE, rotation, sequence_dim=1)
    k_BnHE = apply_rotary_emb(k_BnHE, rotation, sequence_dim=1)
    projection, dropout = attn.to_out
    return dropout(projection(parallel.attend(q_BnHE, k_BnHE, v_BnHE).flatten(2)))
