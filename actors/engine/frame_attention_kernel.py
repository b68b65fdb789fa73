"""The kernel of attention along frames, in Triton, as an operator that compiled graphs can hold.

Shapes: B batch, T frames, S patches of a frame, H heads, E width of a head.
"""

import torch
import triton
import triton.language as tl
from torch.library import custom_op


@triton.jit
def _attend(  # Triton reads annotations as types of its own
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    scale,
    frames,
    patches,
    heads,
    q_batch,
    q_frame,
    q_patch,
    k_batch,
    k_frame,
    k_patch,
    v_batch,
    v_frame,
    v_patch,
    q_head: tl.constexpr,
    k_head: tl.constexpr,
    v_head: tl.constexpr,
    width: tl.constexpr,
    FRAMES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """One program is one head of one patch: softmax(q k^T * scale) v over its frames, sums in float32.

    What a head is long is known to the compiler, or it could not read more than one number at a time.
    """
    program = tl.program_id(0).to(tl.int64)
    head = program % heads
    patch = (program // heads) % patches
    batch = program // heads // patches
    t = tl.arange(0, FRAMES).to(tl.int64)
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
    rows = first + t * patches * heads
    tl.store(out_ptr + rows[:, None] * width + e[None, :], output.to(v.dtype), inside)


@custom_op("pabcast::attend_short", mutates_args=())
def attend_short(q_BTSHE: torch.Tensor, k_BTSHE: torch.Tensor, v_BTSHE: torch.Tensor) -> torch.Tensor:
    """As `frame_attention.attend_frames`, whatever the strides.

    Graphs call it as it is: compiled into one, the kernel is a different one, and was seen to take four times as long.
    """
    q_BTSHE, k_BTSHE, v_BTSHE = (x if x.stride(4) == 1 else x.contiguous() for x in (q_BTSHE, k_BTSHE, v_BTSHE))
    batch, frames, patches, heads, width = q_BTSHE.shape
    output_BTSHE = torch.empty(q_BTSHE.shape, dtype=q_BTSHE.dtype, device=q_BTSHE.device)
    _attend[(batch * patches * heads,)](
        q_BTSHE,
        k_BTSHE,
        v_BTSHE,
        output_BTSHE,
        width**-0.5,
        frames,
        patches,
        heads,
        *q_BTSHE.stride()[:3],
        *k_BTSHE.stride()[:3],
        *v_BTSHE.stride()[:3],
        q_head=q_BTSHE.stride(3),
        k_head=k_BTSHE.stride(3),
        v_head=v_BTSHE.stride(3),
        width=width,
        FRAMES=max(triton.next_power_of_2(frames), 16),
        WIDTH=max(triton.next_power_of_2(width), 16),
        num_warps=1 if frames <= 16 else 4,
    )
    return output_BTSHE


@attend_short.register_fake
def _(q_BTSHE: torch.Tensor, k_BTSHE: torch.Tensor, v_BTSHE: torch.Tensor) -> torch.Tensor:
    return torch.empty(q_BTSHE.shape, dtype=q_BTSHE.dtype, device=q_BTSHE.device)
