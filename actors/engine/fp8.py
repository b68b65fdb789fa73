"""Tensors kept in 8 bits.

Shapes: D width of a row.
"""

from dataclasses import dataclass

import torch

_E4M3 = torch.float8_e4m3fn
_LARGEST = torch.finfo(_E4M3).max


@dataclass(frozen=True, kw_only=True)
class Fp8Rows:
    """A tensor in E4M3 (arXiv 2209.05433), each row of it scaled by its largest element."""

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
        scale = torch.where(largest > 0, largest / _LARGEST, 1.0)
        return cls(values=(x / scale).to(_E4M3), scale=scale, dtype=x.dtype)

    @property
    def nbytes(self) -> int:
        """What it takes, in bytes."""
        return self.values.nbytes + self.scale.nbytes

    def restore(self) -> torch.Tensor:
        """What was kept, within 1/16 of each element, or within 2**-10 / 448 of the row's largest."""
        return self.values.to(self.dtype) * self.scale.to(self.dtype)
