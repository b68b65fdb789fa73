"""The kernel of attention along frames, in Triton, as an operator that compiled graphs can hold.

Shapes: B batch, T frames, S patches of a frame, H heads, E width of a head.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch.library import triton_op, wrap_triton


@triton.jit
def _attend(
    q_ptr: Any,
    k_ptr: Any,
    v_ptr: Any,
    out_ptr: Any,
    scale: float,
    frames: int,
    patches: int,
    heads: int,
    width: int,
    q_batch: int,
    q_frame: int,
    q_patch: int,
    q_head: int,
    k_batch: int,
    k_frame: int,
    k_patch: int,
    k_head: int,
    v_batch: int,
    v_frame: int,
    v_patch: int,
    v_head: int,
    FRAMES: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    """One program is one head of one patch: softmax(q k^T * scale) v over its frames, sums in float32."""
    program = tl.program_id(0).to(tl.int64)
    head = program % heads
    patch = (program // heads) % patches
    batch = program // heads // patches
    t = tl.arange(0, FRAMES)
    e = tl.arange(0, WIDTH)
    inside = (t < frames)[:, None] & (e < width)[None, :]
    q = tl.load(q_ptr + batch * q_batch + patch * q_patch + head * q_head + t[:, None] * q_frame + e, inside, 0.0)
    k = tl.load(k_ptr + batch * k_batch + patch * k_patch + head * k_head + t[:, None] * k_frame + e, inside, 0.0)
    v = tl.load(v_ptr + batch * v_batch + patch * v_patch + head * v_head + t[:, None] * v_frame + e, inside, 0.0)
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    scores = tl.where((t < frames)[None, :], scores, float("-inf"))
    shares = tl.exp(scores - tl.max(scores, 1)[:, None])
    output = tl.dot(shares.to(v.dtype), v, input_precision="ieee") / tl.sum(shares, 1)[:, None]
    first = (batch * frames * patches + patch) * heads + head
    rows = first + t.to(tl.int64) * patches * heads
    tl.store(out_ptr + rows[:, None] * width + e[None, :], output.to(v.dtype), inside)


@triton_op("pabcast::attend_short", mutates_args={})
def attend_short(q_BTSHE: torch.Tensor, k_BTSHE: torch.Tensor, v_BTSHE: torch.Tensor) -> torch.Tensor:
    """As `frame_attention.attend_frames`; the numbers of a head adjoin in memory."""
    batch, frames, patches, heads, width = q_BTSHE.shape
    output_BTSHE = torch.empty(q_BTSHE.shape, dtype=q_BTSHE.dtype, device=q_BTSHE.device)
    wrap_triton(_attend)[(batch * patches * heads,)](
        q_BTSHE,
        k_BTSHE,
        v_BTSHE,
        output_BTSHE,
        width**-0.5,
        frames,
        patches,
        heads,
        width,
        *q_BTSHE.stride()[:4],
        *k_BTSHE.stride()[:4],
        *v_BTSHE.stride()[:4],
        FRAMES=max(triton.next_power_of_2(frames), 16),
        WIDTH=max(triton.next_power_of_2(width), 16),
        num_warps=1 if frames <= 16 else 4,
    )
    return output_BTSHE
