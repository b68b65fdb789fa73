"""Tensors kept in 8 bits.

Shapes: D width of a row.
"""

from typing import NamedTuple

import torch

_E4M3 = torch.float8_e4m3fn
_LARGEST = torch.finfo(_E4M3).max
_SMALLEST = torch.finfo(torch.float32).tiny


class Fp8Rows(NamedTuple):
    """A tensor in E4M3 (arXiv 2209.05433), each row of it scaled by its largest element; compiled graphs take it."""

    values: torch.Tensor
    """(..., D), E4M3."""
    scale: torch.Tensor
    """(..., 1), float32."""
    dtype: torch.dtype
    """What it was."""

    @classmethod
    def of(cls, x: torch.Tensor) -> "Fp8Rows":
        """Keep `x`, (..., D); rows of zeros stay zeros."""
        largest = x.abs().amax(dim=-1, keepdim=True).float()
        scale = (largest / _LARGEST).clamp_min(_SMALLEST)
        return cls(values=(x / scale).to(_E4M3), scale=scale, dtype=x.dtype)

    @property
    def nbytes(self) -> int:
        """What it takes, in bytes."""
        return self.values.nbytes + self.scale.nbytes

    def restore(self) -> torch.Tensor:
        """What was kept, within 1/16 of each element, or within 2**-10 / 448 of the row's largest."""
        return (self.values.float() * self.scale).to(self.dtype)
