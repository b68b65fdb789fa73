"""Latents to frames, each rank its own.

Shapes: C latent channels, T frames, t this rank's frames, h and w latent height and width, H and W pixels.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_FRAMES_AT_ONCE = 8


def decode_frames(vae: Any, latents_1Cthw: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Decode with an image VAE, some frames at a time; returns uint8 (t, H, W, 3)."""
    scaled_tChw = (latents_1Cthw[0].transpose(0, 1) / vae.config.scaling_factor).to(vae.dtype)
    parts = [vae.decode(part, return_dict=False)[0] for part in scaled_tChw.split(_FRAMES_AT_ONCE)]
    pixels_tHW3 = torch.cat(parts).float().div(2).add(0.5).clamp(0, 1).mul(255).round()
    frames: npt.NDArray[np.uint8] = pixels_tHW3.permute(0, 2, 3, 1).to(torch.uint8).contiguous().cpu().numpy()
    return frames
