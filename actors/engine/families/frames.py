"""Decoded pixels as frames.

Shapes: f some frames, F all of them, H and W pixels.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

Frames = npt.NDArray[np.uint8]


def to_uint8(parts: Iterable[torch.Tensor]) -> Frames:
    """Pixels in -1..1, each (f, 3, H, W), one after the other, as (F, H, W, 3) in 0..255."""
    frames: Frames = torch.cat([as_bytes(part) for part in parts]).cpu().numpy()
    return frames


def as_bytes(pixels_f3HW: torch.Tensor) -> torch.Tensor:
    """Pixels in -1..1 as (f, H, W, 3) in 0..255, where they are."""
    levels_f3HW = pixels_f3HW.float().div(2).add(0.5).clamp(0, 1).mul(255).round()
    return levels_f3HW.permute(0, 2, 3, 1).to(torch.uint8).contiguous()
