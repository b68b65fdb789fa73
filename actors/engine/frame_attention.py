"""Attention along the frames of a video: a great many sequences of a few tokens each.

The libraries' kernels take 64 or 128 tokens at a time, so that of sequences of 16 most of their work is padding, and
take the tokens of a sequence next to each other, for which frames would have to be moved first. Ours reads each
sequence once from where it is.

Shapes: B batch, T frames, S patches of a frame, H heads, E width of a head, N patches of the batch.
"""

import logging
import os
import shutil
from importlib.util import find_spec

import torch
from torch.nn.functional import scaled_dot_product_attention

log = logging.getLogger("pabcast.frame_attention")

MOST_FRAMES = 64
"""Of which the kernel keeps all queries, keys and values of a sequence at hand."""

_HAS_TRITON = find_spec("triton") is not None  # torch for CPUs comes without
_HAS_COMPILER = "CC" in os.environ or any(map(shutil.which, ("gcc", "clang", "cc")))  # Triton builds its launcher in C
_HAS_KERNEL = _HAS_TRITON and _HAS_COMPILER
if _HAS_KERNEL:
    from actors.engine.frame_attention_kernel import attend_short
elif _HAS_TRITON:
    log.warning("there is no C compiler (gcc, clang or $CC): attention along frames is torch's, many times slower")


def attend_frames(q_BTSHE: torch.Tensor, k_BTSHE: torch.Tensor, v_BTSHE: torch.Tensor) -> torch.Tensor:
    """Each patch's attention to itself at all frames, (B, T, S, H, E).

    On a GPU, and for up to `MOST_FRAMES` frames, by our kernel; else by torch's attention, on moved frames.
    """
    if _HAS_KERNEL and q_BTSHE.is_cuda and q_BTSHE.shape[1] <= MOST_FRAMES:
        return attend_short(q_BTSHE, k_BTSHE, v_BTSHE)
    batch = q_BTSHE.shape[0]
    q_NHTE, k_NHTE, v_NHTE = (x.transpose(1, 2).flatten(0, 1).transpose(1, 2) for x in (q_BTSHE, k_BTSHE, v_BTSHE))
    output_NHTE = scaled_dot_product_attention(q_NHTE, k_NHTE, v_NHTE)
    return output_NHTE.transpose(1, 2).unflatten(0, (batch, -1)).transpose(1, 2)
