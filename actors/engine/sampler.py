"""The denoising loop."""

from collections.abc import Callable
from typing import Any

import torch

from actors.engine.guidance import GuidedDenoiser
from actors.engine.parallel import SequenceParallel
from actors.engine.stop import StopSignal
from cluster.errors import NotFinite


def denoise(
    denoiser: GuidedDenoiser,
    scheduler: Any,
    part: torch.Tensor,
    parallel: SequenceParallel,
    stop: StopSignal,
    on_step: Callable[[int], None],
    before_step: Callable[[int, torch.Tensor], None] = lambda step, part: None,
    first_step: int = 0,
) -> torch.Tensor:
    """Run the steps of `scheduler` from `first_step` on over this rank's part; return all latents on every rank.

    The samplers work element by element, so the latents stay shared out from the first step to the last and are
    gathered once. `before_step` sees the part before each step, `on_step` hears of each finished one. The scheduler's
    timesteps are on the CPU, so that what it works out of them does not wait for the device.

    Raises:
        Cancelled: between two steps, when `stop` says so.
        NotFinite: when the latents became NaN or infinite.
    """
    moved = scheduler.timesteps.to(part.device)
    for step, timestep in enumerate(scheduler.timesteps[first_step:], start=first_step):
        stop.begin(step)
        before_step(step, part)
        prediction = denoiser(scheduler.scale_model_input(part, timestep), moved[step], step, parallel)
        part = scheduler.step(prediction, timestep, part, return_dict=False)[0].to(part.dtype)
        on_step(step)
    latents_1CThw = parallel.gather(part)
    if not torch.isfinite(latents_1CThw).all():
        raise NotFinite("the latents became NaN or infinite; try another seed, or a guidance scale nearer to 1")
    return latents_1CThw
