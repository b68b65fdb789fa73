"""CogVideoX (arXiv 2408.06072) under a broadcast schedule and token parallelism, over diffusers' own modules.

Shapes: B batch (guidance branches), M all tokens (text, then video), m this rank's share of them, n its tokens of the
video, l its rows of the text, L text tokens, K width of the text features, D width, H heads, E width of a head,
V values of a patch, C latent channels, T frames, h and w latent height and width.
"""

from typing import Any

import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.embeddings import apply_rotary_emb, get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

from actors.engine.blocks import Blocks, Sites
from actors.engine.cache import BroadcastCache, Place
from actors.engine.collectives import Collectives
from actors.engine.feed_forward import feed_forward
from actors.engine.patches import PatchGrid
from actors.engine.token_parallel import Positions, Rotation, TokenParallel
from cluster.errors import ConfigError


class CogVideoXDenoiser:
    """One forward of `CogVideoXTransformer3DModel`, with its attention sites named.

    A layer is joint attention of text and video (kind spatial), then an MLP for both. What a site broadcasts is its
    output after the out-projection and before the gates, for the rank's text and video rows both: their gates and
    the layers' other modulation follow the timestep, and so are computed at every step. Text and video are one
    sequence, shared out over the ranks (see `TokenParallel`).

    CogVideoX 1.0 only, 2B (fixed positions) and 5B (rotary ones).
    """

    def __init__(self, model: CogVideoXTransformer3DModel, blocks: Blocks | None = None) -> None:
        """Drive `model`, whose weights and submodules do the work; nothing in it is changed.

        Raises:
            ConfigError: it is a CogVideoX of another kind.
        """
        for field in ("patch_size_t", "ofs_embed_dim", "use_learned_positional_embeddings"):
            if model.config[field]:
                raise ConfigError(f"the model has {field} {model.config[field]}; only CogVideoX 1.0 text-to-video runs")
        self._model = model
        self._blocks = blocks or Blocks()

    def project_text(self, text_BLK: torch.Tensor) -> torch.Tensor:
        """Text features (B, L, K) as the first layer reads them, (B, L, D); constant over a run."""
        return self._model.patch_embed.text_proj(text_BLK)

    def share_out(
        self,
        latents_BCThw: torch.Tensor,
        text_BLD: torch.Tensor,
        collectives: Collectives | None = None,
    ) -> TokenParallel:
        """How one video's tokens and text are shared out by `collectives`; for one run.

        Raises:
            RequestError: the latents do not divide into patches.
            ConfigError: the heads do not divide over the ranks.
        """
        config = self._model.config
        grid = PatchGrid.over(latents_BCThw, (1, config.patch_size, config.patch_size))
        tokens = text_BLD.shape[1]
        parallel = TokenParallel(grid, config.num_attention_heads, collectives, text_tokens=tokens)
        parallel.positions = Positions(
            rotation=self._rotation(parallel, text_BLD.device), added_1nD=self._places(parallel, text_BLD)
        )
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
        nothing. Every rank gets all of `text_BLD`.
        """
        model = self._model
        embedded_BD = self._embed_time(timestep.expand(len(patches_BnV)))
        text_BlD, video_BnD = text_BLD[:, parallel.text], self._embed(patches_BnV, parallel)
        x_BmD = torch.cat([text_BlD, video_BnD], dim=1)
        for layer, block in enumerate(model.transformer_blocks):
            at = Place(layer, step, ("spatial", "mlp"))
            inputs = (block, x_BmD, embedded_BD, parallel.positions.rotation, parallel)
            x_BmD = self._blocks.run(_block, cache, at, *inputs)
        video_BnD = x_BmD[:, text_BlD.shape[1] :]
        return model.proj_out(model.norm_out(model.norm_final(video_BnD), temb=embedded_BD))

    def _embed_time(self, timestep_B: torch.Tensor) -> torch.Tensor:
        model = self._model
        return model.time_embedding(model.time_proj(timestep_B).to(model.dtype))

    def _embed(self, patches_BnV: torch.Tensor, parallel: TokenParallel) -> torch.Tensor:
        """Patches through the weights of the convolution whose windows they are, with the fixed positions added."""
        projection = self._model.patch_embed.proj
        weight_DV = projection.weight.flatten(1)
        x_BnD = torch.nn.functional.linear(patches_BnV.to(weight_DV.dtype), weight_DV, projection.bias)
        added_1nD = parallel.positions.added_1nD
        return x_BnD if added_1nD is None else x_BnD + added_1nD

    def _places(self, parallel: TokenParallel, like: torch.Tensor) -> torch.Tensor | None:
        """What is added to this rank's patches, (1, n, D), on the device and of the type of `like`."""
        embed = self._model.patch_embed
        if not embed.use_positional_embeddings:
            return None
        _, frames, height, width = parallel.grid.latent_size
        video_frames = (frames - 1) * embed.temporal_compression_ratio + 1
        place = embed.pos_embedding
        if (embed.sample_height, embed.sample_width, embed.sample_frames) != (height, width, video_frames):
            place = embed._get_positional_embeddings(height, width, video_frames, device=like.device)
        return place[:, embed.max_text_seq_length :][:, parallel.video].to(like)

    def _rotation(self, parallel: TokenParallel, device: torch.device) -> Rotation | None:
        """How queries and keys of this rank's tokens are turned by their places; text stays as it is."""
        config = self._model.config
        if not config.use_rotary_positional_embeddings:
            return None
        frames, rows, columns = parallel.grid.size
        trained = (config.sample_width // config.patch_size, config.sample_height // config.patch_size)
        cos_NE, sin_NE = get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim,
            crops_coords=get_resize_crop_region_for_grid((rows, columns), *trained),
            grid_size=(rows, columns),
            temporal_size=frames,
            device=device,
        )
        cos_nE, sin_nE = cos_NE[parallel.video], sin_NE[parallel.video]
        still_lE = cos_nE.new_zeros(parallel.num_text, config.attention_head_dim)
        return torch.cat([still_lE + 1, cos_nE]), torch.cat([still_lE, sin_nE])


class _Modulation:
    """What the timestep does before and after one site: video rows one way, text rows another."""

    def __init__(self, norm: Any, embedded_BD: torch.Tensor, num_text: int) -> None:
        self._norm = norm.norm
        self._rows = num_text
        parts = norm.linear(norm.silu(embedded_BD))[:, None].chunk(6, dim=2)
        self._video, self._text = parts[:3], parts[3:]

    def before(self, x_BmD: torch.Tensor) -> torch.Tensor:
        """Normed, scaled and shifted, (B, m, D)."""
        x_BmD = self._norm(x_BmD)
        halves = ((x_BmD[:, : self._rows], self._text), (x_BmD[:, self._rows :], self._video))
        return torch.cat([part * (1 + scale) + shift for part, (shift, scale, _) in halves], dim=1)

    def add(self, x_BmD: torch.Tensor, output_BmD: torch.Tensor) -> torch.Tensor:
        """`x_BmD` and the gated output of the site."""
        text_B1D, video_B1D = self._text[2], self._video[2]
        gated = [text_B1D * output_BmD[:, : self._rows], video_B1D * output_BmD[:, self._rows :]]
        return x_BmD + torch.cat(gated, dim=1)


def _block(
    site: Sites,
    block: Any,
    x_BmD: torch.Tensor,
    embedded_BD: torch.Tensor,
    rotation: Rotation | None,
    parallel: TokenParallel,
) -> torch.Tensor:
    around = _Modulation(block.norm1, embedded_BD, parallel.num_text)
    joint = site("spatial", lambda: _attend(block.attn1, around.before(x_BmD), rotation, parallel))
    between_BmD = around.add(x_BmD, joint)
    around_mlp = _Modulation(block.norm2, embedded_BD, parallel.num_text)
    mlp = site("mlp", lambda: feed_forward(block.ff, around_mlp.before(between_BmD)))
    return around_mlp.add(between_BmD, mlp)


def _attend(attn: Any, x_BmD: torch.Tensor, rotation: Rotation | None, parallel: TokenParallel) -> torch.Tensor:
    """Attention of all text and video to all of it, and its projection, for this rank's tokens."""
    q_BmHE, k_BmHE, v_BmHE = (
        project(x_BmD).unflatten(2, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v)
    )
    q_BmHE, k_BmHE = attn.norm_q(q_BmHE), attn.norm_k(k_BmHE)
    if rotation is not None:
        q_BmHE = apply_rotary_emb(q_BmHE, rotation, sequence_dim=1)
        k_BmHE = apply_rotary_emb(k_BmHE, rotation, sequence_dim=1)
    projection, dropout = attn.to_out
    return dropout(projection(parallel.attend(q_BmHE, k_BmHE, v_BmHE).flatten(2)))
