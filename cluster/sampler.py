"""The timesteps of a sampler, for models that are planned and not loaded."""

import math
from dataclasses import dataclass
from typing import Literal

from cluster.errors import RequestError
from cluster.shape import Shape

TRAIN_STEPS = 1000
PNDM_ORDER = 4
"""PNDM needs so many steps: it does the first three by Runge-Kutta, and the next ones read what those found."""


@dataclass(frozen=True, kw_only=True)
class SamplerNumbers:
    """How a model's sampler places its steps."""

    kind: Literal["ddim_leading", "ddim_trailing", "pndm", "unipc_flow", "open_sora_flow"]
    """`ddim_leading` and `ddim_trailing`: diffusers' `DDIMScheduler` and `CogVideoXDDIMScheduler` by their spacing.
    `pndm`: its `PNDMScheduler` with leading spacing, which evaluates the model 9 times more than it has steps.
    `unipc_flow`: its `UniPCMultistepScheduler` with `use_flow_sigmas`. `open_sora_flow`: rectified flow with the
    timestep transform of Open-Sora 1.2, which depends on the shape."""
    flow_shift: float = 1.0
    """Of `unipc_flow`: the larger, the more of the steps are near the noise."""

    def timesteps(self, steps: int, shape: Shape) -> tuple[float, ...]:
        """The timesteps of a run, 0..1000, one for each evaluation of the model; none is above the one before.

        Raises:
            RequestError: fewer steps than the sampler can do.
        """
        if self.kind == "ddim_leading":
            return _leading(steps)
        if self.kind == "ddim_trailing":
            return _trailing(steps)
        if self.kind == "pndm":
            return _pndm(steps)
        if self.kind == "unipc_flow":
            return _flow(steps, self.flow_shift)
        return _open_sora(steps, shape)


def _leading(steps: int) -> tuple[float, ...]:
    stride = TRAIN_STEPS // steps
    return tuple(float(stride * index) for index in reversed(range(steps)))


def _trailing(steps: int) -> tuple[float, ...]:
    """As numpy's `arange` spaces and counts them, half to even: what falls between two timesteps depends on it."""
    ratio = TRAIN_STEPS / steps
    stride = (TRAIN_STEPS - ratio) - TRAIN_STEPS
    return tuple(float(round(TRAIN_STEPS + index * stride) - 1) for index in range(math.ceil(TRAIN_STEPS / ratio)))


def _pndm(steps: int) -> tuple[float, ...]:
    """Each of the first three steps is four evaluations: at its start, twice at its middle, and at its end."""
    if steps < PNDM_ORDER:
        raise RequestError(f"steps is {steps}; the model's sampler, PNDM, takes {PNDM_ORDER} or more")
    times, half = _leading(steps), TRAIN_STEPS // steps // 2
    starts, ends = times[: PNDM_ORDER - 1], times[1:PNDM_ORDER]
    firsts = [(start, end + half, end + half, end) for start, end in zip(starts, ends, strict=True)]
    return (*(time for step in firsts for time in step), *times[PNDM_ORDER - 1 :])


def _flow(steps: int, shift: float) -> tuple[float, ...]:
    """Cut to whole timesteps, as diffusers does; the first is a little less than all noise."""
    stride = (1 / TRAIN_STEPS - 1) / steps
    noise = [index * stride + 1 for index in range(steps)]
    shifted = [shift * sigma / (1 + (shift - 1) * sigma) for sigma in noise]
    return tuple(float(int(min(sigma, 1 - 1e-6) * TRAIN_STEPS)) for sigma in shifted)


def _open_sora(steps: int, shape: Shape) -> tuple[float, ...]:
    frames = max(shape.num_frames // 17 * 5, 1)
    ratio = math.sqrt(shape.height * shape.width / 512**2) * math.sqrt(frames)
    fractions = (1 - index / steps for index in range(steps))
    return tuple(TRAIN_STEPS * ratio * u / (1 + (ratio - 1) * u) for u in fractions)
