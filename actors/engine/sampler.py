"""The denoising loop."""

from collections.abc import Callable
from typing import Any

import torch

from actors.engine.guidance import GuidedDenoiser
from actors.engine.sequence import FrameParallel
from actors.engine.stop import StopSignal
from cluster.errors import NotFinite


def denoise(
    denoiser: GuidedDenoiser,
    scheduler: Any,
    latents_1CThw: torch.Tensor,
    parallel: FrameParallel,
    stop: StopSignal,
    on_step: Callable[[int], None],
    before_step: Callable[[int, torch.Tensor], None] = lambda step, latents: None,
    first_step: int = 0,
) -> torch.Tensor:
    """Run the steps of `scheduler` from `first_step` on over this rank's frames; return all frames on every rank.

    The update of a DDIM-family scheduler works element by element, so the latents stay shared out
    from the first step to the last and are gathered once. `before_step` sees the latents before each
    step, `on_step` hears of each finished one.

    Raises:
        Cancelled: between two steps, when `stop` says so.
        NotFinite: when the latents became NaN or infinite.
    """
    for step, timestep in enumerate(scheduler.timesteps[first_step:], start=first_step):
        stop.begin(step)
        before_step(step, latents_1CThw)
        model_input = scheduler.scale_model_input(latents_1CThw, timestep)
        prediction = denoiser(model_input, timestep, step, parallel)
        latents_1CThw = scheduler.step(prediction, timestep, latents_1CThw, return_dict=False)[0]
        on_step(step)
    latents_1CThw = parallel.gather_frames(latents_1CThw)
    if not torch.isfinite(latents_1CThw).all():
        raise NotFinite("the latents became NaN or infinite; try another seed, or a guidance scale nearer to 1")
    return latents_1CThw
