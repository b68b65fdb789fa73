"""Attention as its definition has it, to compare kernels with."""

import torch


def exact_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(E)) v over the tokens, in float64; all are (..., M, H, E)."""
    scores = torch.einsum("...mhe,...nhe->...hmn", q.double(), k.double()) / q.shape[-1] ** 0.5
    return torch.einsum("...hmn,...nhe->...mhe", scores.softmax(-1), v.double())
