"""The sampler's timesteps."""

import copy
import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch

from actors.engine.card import inspect_model
from cluster.errors import ConfigError, RequestError
from cluster.pab import TIMESTEPS
from cluster.shape import Shape


def fresh_scheduler(scheduler: Any, steps: int, device: torch.device, shape: Shape) -> Any:
    """A copy of a diffusers scheduler, set to `steps`; schedulers keep state, so each run has its own.

    One whose timesteps hang on the video's shape is told it.

    Raises:
        RequestError: more steps than the scheduler has timesteps, or fewer than it starts with.
    """
    own = copy.deepcopy(scheduler)
    least, most = _fewest_steps(own), own.config.num_train_timesteps
    if not least <= steps <= most:
        raise RequestError(f"steps is {steps}; the model's scheduler takes {least} to {most}")
    by_shape = "num_frames" in inspect.signature(own.set_timesteps).parameters
    own.set_timesteps(steps, device=device, **(asdict(shape) if by_shape else {}))
    return own


def load_scheduler(folder: Path, pipeline: str) -> Any:
    """What samples the model in `folder`: what it says, or what the authors of a `pipeline` without saying sample with.

    Raises:
        ConfigError: the folder should say, and does not, or says what cannot sample.
    """
    if pipeline == "OpenSoraPipeline":
        # Its package takes a second to import, which nobody else should wait for.
        from actors.engine.models.open_sora import OpenSoraFlowScheduler

        return OpenSoraFlowScheduler()
    saved = folder / "scheduler"
    if pipeline == "OpenSoraPlanPipeline" and not saved.is_dir():
        return diffusers.PNDMScheduler()
    try:
        config = diffusers.DDIMScheduler.load_config(saved)
    except OSError as error:
        raise ConfigError(f"{saved} says no scheduler: {error}") from error
    name, trained = config.get("_class_name"), config.get("num_train_timesteps", TIMESTEPS)
    kind: Any = getattr(diffusers, str(name), None)
    is_scheduler = isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)
    if not is_scheduler:
        raise ConfigError(f"{saved} says {name!r}, which is no scheduler of diffusers {diffusers.__version__}")
    if trained != TIMESTEPS:
        raise ConfigError(
            f"{saved} has num_train_timesteps {trained}; pab's windows are of the {TIMESTEPS} timesteps that "
            "all models of these families were trained with"
        )
    return kind.from_config(config)


def timesteps(model: str | Path, steps: int, shape: Shape) -> tuple[float, ...]:
    """The timesteps (descending, 0..1000) that the model in the folder `model` takes in `steps` steps."""
    card = inspect_model(model)
    scheduler = load_scheduler(Path(card.path), card.pipeline)
    return tuple(float(t) for t in fresh_scheduler(scheduler, steps, torch.device("cpu"), shape).timesteps)


def _fewest_steps(scheduler: Any) -> int:
    """PNDM does its first three steps by Runge-Kutta, and the next ones read what those found."""
    whole_pndm = isinstance(scheduler, diffusers.PNDMScheduler) and not scheduler.config.skip_prk_steps
    return int(scheduler.pndm_order) if whole_pndm else 1
