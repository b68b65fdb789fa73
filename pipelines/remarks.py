"""What a person would want to know of a job that can run, but perhaps not as they mean."""

import difflib
from collections.abc import Iterator

from cluster.cache_budget import plan_schedule
from cluster.model import ModelNumbers
from cluster.pab import KINDS, PabConfig
from cluster.shape import Shape
from pipelines.job_check import CheckedJob
from pipelines.models import KnownModel
from pipelines.prompt_formats import COLUMNS
from pipelines.prompts import InputInfo
from pipelines.width_policy import Kindred, model_timesteps

_SHOWN = 8


def remark_on_job(job: CheckedJob) -> Iterator[str]:
    """What is to be said before `job` runs."""
    yield from remark_on_size(job.config.sampling.shape, job.card.numbers)
    yield from remark_on_columns(job.input)


def remark_on_broadcast(job: CheckedJob) -> Iterator[str]:
    """Likewise of its `pab`, once there is something to make: the model's timesteps take a second to be had."""
    yield from remark_on_pab(Kindred.usual(job.config), job.config.model, job.card.numbers)


def remark_on_size(shape: Shape, numbers: ModelNumbers) -> Iterator[str]:
    """A sentence if `shape` is larger than what the model was trained for."""
    if max(shape.height, shape.width) > numbers.native_edge:
        yield (
            f"{shape.width}x{shape.height} is larger than {numbers.native_edge}x{numbers.native_edge}, "
            "what the model was trained for; expect worse videos"
        )


def remark_on_pab(video: Kindred, model: KnownModel, numbers: ModelNumbers) -> Iterator[str]:
    """A sentence if the `video`'s PAB asks for something, and nothing or not every kind is broadcast in it."""
    pab = video.pab
    if pab == PabConfig():
        return
    times = model_timesteps(model, video.steps, video.shape)
    schedule = plan_schedule(pab, times, numbers, video.shape, branches=video.branches)
    asked = [kind for kind in KINDS if kind in numbers.sites and pab.asks_for(kind)]
    silent = [kind for kind in asked if schedule.computed[kind] == schedule.num_steps]
    why = "" if pab.cache_budget_gb is None else f"; pab.cache_budget_gb is {pab.cache_budget_gb:g}"
    if silent == asked:
        yield f"pab broadcasts nothing: each of the {schedule.num_steps} steps computes everything{why}"
    elif silent:
        yield f"pab does not broadcast {', '.join(silent)}: every step computes it{why}"


def remark_on_columns(found: InputInfo) -> Iterator[str]:
    """A sentence if the input has columns that nothing reads, with what a misspelt one may have meant."""
    ignored = found.ignored_columns
    if not ignored:
        return
    unused = [name for name in COLUMNS if name not in found.columns]
    slips = [(name, *difflib.get_close_matches(name.lower(), unused, n=1, cutoff=0.75)) for name in ignored]
    meant = [f"{slip[0]} may be meant as {slip[1]}" for slip in slips if len(slip) > 1]
    shown = ", ".join(ignored[:_SHOWN]) + (", …" if len(ignored) > _SHOWN else "")
    yield "; ".join([f"input columns that are not read: {shown}", *meant[:_SHOWN]])
