"""The sampler's timesteps."""

import copy
import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch

from actors.engine.card import inspect_model
from cluster.errors import RequestError
from cluster.shape import Shape


def fresh_scheduler(scheduler: Any, steps: int, device: torch.device, shape: Shape) -> Any:
    """A copy of a diffusers scheduler, set to `steps`; schedulers keep state, so each run has its own.

    One whose timesteps hang on the video's shape is told it.

    Raises:
        RequestError: more steps than the scheduler has timesteps.
    """
    own = copy.deepcopy(scheduler)
    most = own.config.num_train_timesteps
    if not 1 <= steps <= most:
        raise RequestError(f"steps is {steps}; the model's scheduler takes 1 to {most}")
    by_shape = "num_frames" in inspect.signature(own.set_timesteps).parameters
    own.set_timesteps(steps, device=device, **(asdict(shape) if by_shape else {}))
    return own


def timesteps(model: str | Path, steps: int, shape: Shape) -> tuple[float, ...]:
    """The timesteps (descending, 0..1000) that the model in the folder `model` takes in `steps` steps."""
    folder = Path(inspect_model(model).path) / "scheduler"
    config = diffusers.DDIMScheduler.load_config(folder)
    scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
    return tuple(float(t) for t in fresh_scheduler(scheduler, steps, torch.device("cpu"), shape).timesteps)
