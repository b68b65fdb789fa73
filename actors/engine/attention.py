"""Attention of every token to every token, by the fastest kernel that is installed.

Shapes: B batch, M tokens, H heads, E width of a head.
"""

from importlib.util import find_spec

import torch
from torch.nn.functional import scaled_dot_product_attention

_HAS_FLASH = find_spec("flash_attn") is not None and find_spec("flash_attn.cute") is not None
if _HAS_FLASH:
    from actors.engine.flash_attention import flash_attention


def attend(q_BMHE: torch.Tensor, k_BMHE: torch.Tensor, v_BMHE: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(E)) v over the tokens, (B, M, H, E).

    By FlashAttention-4 (github.com/Dao-AILab/flash-attention) where it is installed, in 16 bits on a GPU that it
    knows; else by torch's attention, which on a Hopper GPU is cuDNN's.
    """
    if _HAS_FLASH and _flash_takes(q_BMHE):
        return flash_attention(q_BMHE, k_BMHE, v_BMHE)
    q_BHME, k_BHME, v_BHME = (x.transpose(1, 2) for x in (q_BMHE, k_BMHE, v_BMHE))
    return scaled_dot_product_attention(q_BHME, k_BHME, v_BHME).transpose(1, 2)


def _flash_takes(x_BMHE: torch.Tensor) -> bool:
    """Heads of a multiple of 8, up to 128, in 16 bits, on a Hopper or a Blackwell GPU."""
    width = x_BMHE.shape[3]
    if not x_BMHE.is_cuda or x_BMHE.dtype not in (torch.float16, torch.bfloat16) or width > 128 or width % 8:
        return False
    return torch.cuda.get_device_capability(x_BMHE.device)[0] in (9, 10)
