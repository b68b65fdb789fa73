"""The blocks of STDiT3, with their sites of attention apart: what a site does before its gate can be called alone.

Shapes: B batch, T frames, S patches of a frame, D width, L text tokens, H heads, E width of a head, N sequences,
Q tokens that ask.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from diffusers.models.embeddings import apply_rotary_emb
from torch import nn
from torch.nn.functional import linear, scaled_dot_product_attention

from actors.engine.attention import attend
from actors.engine.frame_attention import attend_frames
from actors.engine.models.open_sora.embeddings import Mlp, Rotation
from cluster.pab import Kind

_EPS = 1e-6


class Modulation(NamedTuple):
    """What the timestep does to a block, each (B, 1, 1, D)."""

    shift: torch.Tensor
    scale: torch.Tensor
    gate: torch.Tensor
    shift_mlp: torch.Tensor
    scale_mlp: torch.Tensor
    gate_mlp: torch.Tensor


class SelfAttention(nn.Module):
    """The projections of attention of a sequence to itself, with RMS-normed queries and keys."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self._heads = (num_heads, hidden_size // num_heads)
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.q_norm = nn.RMSNorm(hidden_size // num_heads, eps=_EPS)
        self.k_norm = nn.RMSNorm(hidden_size // num_heads, eps=_EPS)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def read(self, x_BTSD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values, each (B, T, S, H, E)."""
        # Three products cost what one does at these sizes, and norms read what is laid out for them twice as fast.
        parts = zip(self.qkv.weight.chunk(3), self.qkv.bias.chunk(3), strict=True)
        q_BTSHE, k_BTSHE, v_BTSHE = (linear(x_BTSD, *part).unflatten(3, self._heads) for part in parts)
        return self.q_norm(q_BTSHE), self.k_norm(k_BTSHE), v_BTSHE

    def write(self, output_BTSHE: torch.Tensor) -> torch.Tensor:
        """The projection of what the heads found, (B, T, S, D)."""
        projected: torch.Tensor = self.proj(output_BTSHE.flatten(3))
        return projected


class CrossAttention(nn.Module):
    """Attention of tokens to the text."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self._heads = (num_heads, hidden_size // num_heads)
        self.q_linear = nn.Linear(hidden_size, hidden_size)
        self.kv_linear = nn.Linear(hidden_size, 2 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def forward(
        self, x_BQD: torch.Tensor, text_BLD: torch.Tensor, text_mask_BL: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, Q, D) to (B, Q, D); `text_mask_BL` is true where a token is read, and all are without it."""
        q_BHQE = self.q_linear(x_BQD).unflatten(2, self._heads).transpose(1, 2)
        kv = self.kv_linear(text_BLD).unflatten(2, (2, *self._heads))
        k_BHLE, v_BHLE = (part.transpose(1, 2) for part in kv.unbind(2))
        mask = None if text_mask_BL is None else text_mask_BL[:, None, None]
        output_BHQE = scaled_dot_product_attention(q_BHQE, k_BHLE, v_BHLE, attn_mask=mask)
        return self.proj(output_BHQE.transpose(1, 2).flatten(2))


class Block(nn.Module, ABC):
    """Self-attention over one axis, cross attention, MLP.

    A block is three sites: `attend(prepare(x))`, `cross(x)` and `feed_forward(x)`. `forward` puts them together;
    a caller that broadcasts or shares out frames does so itself, around the sites.
    """

    kind: ClassVar[Kind]
    """Of its self-attention."""

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size, eps=_EPS, elementwise_affine=False)
        self.attn = SelfAttention(hidden_size, num_heads)
        self.cross_attn = CrossAttention(hidden_size, num_heads)
        self.norm2 = nn.LayerNorm(hidden_size, eps=_EPS, elementwise_affine=False)
        self.mlp = Mlp(hidden_size, int(hidden_size * mlp_ratio), hidden_size)
        self.scale_shift_table = nn.Parameter(torch.randn(6, hidden_size) / hidden_size**0.5)

    def modulation(self, conditioning_B6D: torch.Tensor) -> Modulation:
        """The block's own share of the timestep's conditioning."""
        return Modulation(*(self.scale_shift_table + conditioning_B6D)[:, :, None, None].unbind(1))

    def prepare(self, x_BTSD: torch.Tensor, modulation: Modulation) -> torch.Tensor:
        """What self-attention reads: normed, scaled and shifted, token by token."""
        return self.norm1(x_BTSD) * (1 + modulation.scale) + modulation.shift

    @abstractmethod
    def attend(self, x_BTSD: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Self-attention and its projection over the block's axis; the gate is the caller's."""

    def cross(
        self, x_BTSD: torch.Tensor, text_BLD: torch.Tensor, text_mask_BL: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cross attention and its projection; it has no norm, no modulation and no gate."""
        # A token reads the same text whatever its frame: the frames are one long query, text is projected once.
        return self.cross_attn(x_BTSD.flatten(1, 2), text_BLD, text_mask_BL).unflatten(1, x_BTSD.shape[1:3])

    def feed_forward(self, x_BTSD: torch.Tensor, modulation: Modulation) -> torch.Tensor:
        """Norm, modulation and MLP; the gate is the caller's."""
        return self.mlp(self.norm2(x_BTSD) * (1 + modulation.scale_mlp) + modulation.shift_mlp)

    def forward(
        self,
        x_BTSD: torch.Tensor,
        text_BLD: torch.Tensor,
        conditioning_B6D: torch.Tensor,
        rotation: Rotation,
        text_mask_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The block with every site computed."""
        modulation = self.modulation(conditioning_B6D)
        x_BTSD = x_BTSD + modulation.gate * self.attend(self.prepare(x_BTSD, modulation), rotation)
        x_BTSD = x_BTSD + self.cross(x_BTSD, text_BLD, text_mask_BL)
        return x_BTSD + modulation.gate_mlp * self.feed_forward(x_BTSD, modulation)


class SpatialBlock(Block):
    """Self-attention among the patches of a frame."""

    kind: ClassVar[Kind] = "spatial"

    def attend(self, x_BTSD: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Each frame alone; frames are not turned."""
        frames = x_BTSD.shape[:2]
        q_NSHE, k_NSHE, v_NSHE = (x_BTSHE.flatten(0, 1) for x_BTSHE in self.attn.read(x_BTSD))
        return self.attn.write(attend(q_NSHE, k_NSHE, v_NSHE).unflatten(0, frames))


class TemporalBlock(Block):
    """Self-attention among the frames of a patch."""

    kind: ClassVar[Kind] = "temporal"

    def attend(self, x_BTSD: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Each patch alone, over all T frames; queries and keys are turned by their frames' places."""
        q_BTSHE, k_BTSHE, v_BTSHE = self.attn.read(x_BTSD)
        q_BTSHE, k_BTSHE = _turn(q_BTSHE, rotation), _turn(k_BTSHE, rotation)
        return self.attn.write(attend_frames(q_BTSHE, k_BTSHE, v_BTSHE))


def _turn(x_BTSHE: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    heads = x_BTSHE.shape[2:4]
    return apply_rotary_emb(x_BTSHE.flatten(2, 3), rotation, sequence_dim=1).unflatten(2, heads)
