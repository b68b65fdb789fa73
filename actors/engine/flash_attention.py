"""FlashAttention-4's attention, as an operator that compiled graphs can hold.

Shapes: B batch, M tokens, H heads, E width of a head.
"""

import torch
from torch.library import custom_op


@custom_op("pabcast::flash_attention", mutates_args=())
def flash_attention(q_BMHE: torch.Tensor, k_BMHE: torch.Tensor, v_BMHE: torch.Tensor) -> torch.Tensor:
    """As `attention.attend`; the first call of a process takes seconds, as the kernel is compiled."""
    from flash_attn.cute import flash_attn_func  # a compiler comes with it: for those who have a GPU

    output_BMHE, *_ = flash_attn_func(*(x if x.stride(3) == 1 else x.contiguous() for x in (q_BMHE, k_BMHE, v_BMHE)))
    return output_BMHE


@flash_attention.register_fake
def _(q_BMHE: torch.Tensor, k_BMHE: torch.Tensor, v_BMHE: torch.Tensor) -> torch.Tensor:
    return torch.empty(q_BMHE.shape, dtype=q_BMHE.dtype, device=q_BMHE.device)
