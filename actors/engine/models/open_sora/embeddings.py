"""What STDiT3 knows besides the pixels: numbers, text, and where a patch and a frame stand.

Shapes: B batch, T frames, S patches of a frame, D width of the model, L text tokens, K width of the text features,
E width of a head, P places along an edge.
"""

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn

from actors.engine.feed_forward import linear_gelu

Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of each frame's angles, each (T, E)."""

_WAVES = 256
_SLOWEST = 10000.0


class NumberEmbedder(nn.Module):
    """Embeds a number for each sample: the timestep, or the frames a second."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(_WAVES, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))

    def forward(self, number_B: torch.Tensor) -> torch.Tensor:
        """(B,) to (B, D)."""
        dtype = next(self.parameters()).dtype
        # The number itself is rounded to the weights' type: trained in bf16, the model has seen no other timesteps.
        waves = get_timestep_embedding(number_B.to(dtype), _WAVES, flip_sin_to_cos=True, downscale_freq_shift=0)
        return self.mlp(waves.to(dtype))


class Mlp(nn.Module):
    """Two linear layers with a tanh GELU between."""

    def __init__(self, in_width: int, middle: int, out_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_width, middle)
        self.fc2 = nn.Linear(middle, out_width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in_width) to (…, out_width)."""
        return self.fc2(linear_gelu(self.fc1, x))


class CaptionEmbedder(nn.Module):
    """Projects text features to the model's width."""

    y_embedding: torch.Tensor
    """The learned features of no text, (model_max_length, K).

    The branch without a prompt reads as many of them, from the first on, as the other branch reads tokens."""

    def __init__(self, caption_channels: int, hidden_size: int, num_tokens: int) -> None:
        super().__init__()
        self.y_proj = Mlp(caption_channels, hidden_size, hidden_size)
        self.register_buffer("y_embedding", torch.randn(num_tokens, caption_channels) / caption_channels**0.5)

    def forward(self, text_BLK: torch.Tensor) -> torch.Tensor:
        """(B, L, K) to (B, L, D)."""
        return self.y_proj(text_BLK)


class RotaryEmbedding(nn.Module):
    """Angles of the frames; the frequencies are in the checkpoint (RoPE, arXiv 2104.09864)."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        exponents = torch.arange(0, head_width, 2).float() / head_width
        self.freqs = nn.Parameter(1 / _SLOWEST**exponents, requires_grad=False)

    def forward(self, num_frames: int) -> Rotation:
        """The rotation of frames 0 to `num_frames` - 1, in neighbouring pairs of a head's width."""
        frames = torch.arange(num_frames, device=self.freqs.device)
        angles_TE = torch.outer(frames.float(), self.freqs.float()).repeat_interleave(2, dim=1)
        return angles_TE.cos(), angles_TE.sin()


def position_embedding(rows: int, columns: int, scale: float, hidden_size: int, device: torch.device) -> torch.Tensor:
    """Where each patch of a frame stands, (S, D): waves of its column in the first half, of its row in the second.

    Places are those of a square of as many patches, divided by `scale`, the edge of the video over the edge that
    the frequencies are for: a larger video has finer places, not more of them.
    """
    edge = round((rows * columns) ** 0.5)
    columns_PD = _waves(columns, scale, edge, hidden_size // 2, device)
    rows_PD = _waves(rows, scale, edge, hidden_size // 2, device)
    return torch.cat([columns_PD.repeat(rows, 1), rows_PD.repeat_interleave(columns, dim=0)], dim=1)


def _waves(places: int, scale: float, edge: int, width: int, device: torch.device) -> torch.Tensor:
    place_P = torch.arange(places, device=device) / scale * (edge / places)
    frequencies = 1 / _SLOWEST ** (torch.arange(0, width, 2, device=device).float() / width)
    angles = torch.outer(place_P, frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
