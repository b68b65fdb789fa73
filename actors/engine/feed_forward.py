"""A block's MLP, its GELU done as the first product is written where the library of the GPU does that.

Shapes: D width of the model, M width between the two products.
"""

from typing import Any

import torch
from diffusers.models.activations import GELU
from torch import nn
from torch.nn.functional import gelu


def feed_forward(ff: Any, x: torch.Tensor) -> torch.Tensor:
    """What diffusers' `FeedForward` makes of `x`, (…, D) to (…, D)."""
    first = ff.net[0]
    if not isinstance(first, GELU) or first.approximate != "tanh":
        return ff(x)
    x = linear_gelu(first.proj, x)
    for module in ff.net[1:]:
        x = module(x)
    return x


def linear_gelu(linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """The tanh GELU of `linear(x)`, (…, D) to (…, M).

    On a GPU the product's own kernel does both where it can: what is between them, M wide, is then neither written
    nor read, nor rounded.
    """
    if not x.is_cuda or linear.bias is None:
        return gelu(linear(x), approximate="tanh")
    # Private in torch, and the one way to cuBLAS' epilogue; its GELU is the tanh one there, and only there.
    rows = torch._addmm_activation(linear.bias, x.flatten(0, -2), linear.weight.t(), use_gelu=True)
    return rows.unflatten(0, x.shape[:-1])
