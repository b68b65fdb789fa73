"""The sampler's timesteps."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch

from actors.engine.card import inspect_model
from actors.engine.part_errors import told_of
from cluster.errors import ConfigError, RequestError
from cluster.pab import TIMESTEPS
from cluster.shape import Shape

_OF_IMAGES = (
    "DDIMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
SAMPLERS: Mapping[str, tuple[str, ...]] = {
    "CogVideoXPipeline": ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"),
    "LattePipeline": _OF_IMAGES,
    "OpenSoraPlanPipeline": _OF_IMAGES,
    "WanPipeline": ("DEISMultistepScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"),
}
"""By pipeline, diffusers' samplers that were tried: no new noise, each element for itself, all state in a snapshot."""
_STAND_INS = {"CogVideoXDPMScheduler": "CogVideoXDDIMScheduler"}
"""What samples with the numbers of one that draws new noise at every step."""
_EVERYWHERE: Mapping[str, tuple[object, ...]] = {
    "algorithm_type": ("dpmsolver++", "dpmsolver", "deis"),
    "thresholding": (False,),
    "timestep_type": ("discrete",),
}
"""Settings that a sampler may have: others draw noise, look at all the latents, of which a rank has a part, or give
the steps other numbers than the timesteps of pab's windows."""
_SETTINGS: Mapping[str, Mapping[str, tuple[object, ...]]] = {
    "WanPipeline": {**_EVERYWHERE, "prediction_type": ("flow_prediction",), "use_flow_sigmas": (True,)}
}
_TRIED_STEPS = 4


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
        ConfigError: the folder should say, and does not, or says what cannot sample or is none of `SAMPLERS`.
    """
    if pipeline == "OpenSoraPipeline":
        # Its package takes a second to import, which nobody else should wait for.
        from actors.engine.models.open_sora import OpenSoraFlowScheduler

        return OpenSoraFlowScheduler()
    saved = folder / "scheduler"
    if pipeline == "OpenSoraPlanPipeline" and not saved.is_dir():
        return diffusers.PNDMScheduler()
    config = _saved_config(saved)
    kind = _kind(saved, config.get("_class_name"), SAMPLERS[pipeline])
    with told_of(saved):
        scheduler = kind.from_config(config)
        _check_settings(saved, scheduler.config, _SETTINGS.get(pipeline, _EVERYWHERE))
        _try(scheduler)
    return scheduler


def timesteps(model: str | Path, steps: int, shape: Shape) -> tuple[float, ...]:
    """The timesteps (descending, 0..1000) that the model in the folder `model` takes in `steps` steps."""
    card = inspect_model(model)
    scheduler = load_scheduler(Path(card.path), card.pipeline)
    return tuple(float(t) for t in fresh_scheduler(scheduler, steps, torch.device("cpu"), shape).timesteps)


def _saved_config(saved: Path) -> dict[str, Any]:
    """What the folder `saved` says of its sampler."""
    try:
        config = diffusers.DDIMScheduler.load_config(saved)
    except OSError as error:
        raise ConfigError(f"{saved} says no scheduler: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{saved} says no scheduler: its scheduler_config.json is no object; save it there again")
    trained = config.get("num_train_timesteps", TIMESTEPS)
    if trained != TIMESTEPS:
        raise ConfigError(
            f"{saved} has num_train_timesteps {trained!r}; pab's windows are of the {TIMESTEPS} timesteps that "
            "all models of these families were trained with"
        )
    return config


def _kind(saved: Path, name: object, taken: tuple[str, ...]) -> Any:
    """The class of the sampler `name`, or of what stands in for it; `ConfigError` unless it is one of `taken`."""
    if name in taken:
        return getattr(diffusers, _STAND_INS.get(str(name), str(name)))
    kind = getattr(diffusers, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise ConfigError(f"{saved} says {name!r}, which is no scheduler of diffusers {diffusers.__version__}")
    raise ConfigError(
        f"{saved} says {name}; samplers that draw new noise at each step, or that this engine was not tried with, are "
        f"refused, as a request must have one video; taken are {', '.join(taken)}"
    )


def _check_settings(saved: Path, config: Mapping[str, Any], wanted: Mapping[str, tuple[object, ...]]) -> None:
    """Raise `ConfigError` if the sampler has a setting of `wanted`, and none of the values there."""
    for name, values in wanted.items():
        if config.get(name, values[0]) not in values:
            raise ConfigError(
                f"{saved} has {name} {config[name]!r}; samplers that draw new noise at each step, or that this engine "
                f"was not tried with, are refused, as a request must have one video; taken are "
                f"{', '.join(map(str, values))}"
            )


def _try(scheduler: Any) -> None:
    """Take a few steps of nothing: some values of a config break only there; raises whatever they bring about."""
    size = Shape(height=32, width=32, num_frames=17)
    own = fresh_scheduler(scheduler, _TRIED_STEPS, torch.device("cpu"), size)
    latents = torch.zeros(1, 4, 1, 2, 2)
    for timestep in own.timesteps:
        prediction = own.scale_model_input(latents, timestep)
        latents = own.step(prediction, timestep, latents, return_dict=False)[0]
    if not torch.isfinite(latents).all():
        raise ValueError("its numbers make latents NaN or infinite")


def _fewest_steps(scheduler: Any) -> int:
    """PNDM does its first three steps by Runge-Kutta, and the next ones read what those found."""
    whole_pndm = isinstance(scheduler, diffusers.PNDMScheduler) and not scheduler.config.skip_prk_steps
    return int(scheduler.pndm_order) if whole_pndm else 1
