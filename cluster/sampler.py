"""The timesteps of a sampler, for models that are planned and not loaded."""

import math
from dataclasses import dataclass
from typing import Literal

from cluster.shape import Shape

TRAIN_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class SamplerNumbers:
    """How a model's sampler places its steps."""

    kind: Literal["ddim_leading", "open_sora_flow"]
    """`ddim_leading`: diffusers' `DDIMScheduler` with leading spacing. `open_sora_flow`: rectified flow with the
    timestep transform of Open-Sora 1.2, which depends on the shape."""

    def timesteps(self, steps: int, shape: Shape) -> tuple[float, ...]:
        """The timesteps of a run, descending, 0..1000."""
        if self.kind == "ddim_leading":
            stride = TRAIN_STEPS // steps
            return tuple(float(stride * index) for index in reversed(range(steps)))
        frames = max(shape.num_frames // 17 * 5, 1)
        ratio = math.sqrt(shape.height * shape.width / 512**2) * math.sqrt(frames)
        fractions = (1 - index / steps for index in range(steps))
        return tuple(TRAIN_STEPS * ratio * u / (1 + (ratio - 1) * u) for u in fractions)
