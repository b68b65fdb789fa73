"""What a person would want to know of a job that can run, but perhaps not as they mean."""

import difflib
from collections.abc import Iterator

from cluster.model import ModelNumbers
from cluster.shape import Shape
from pipelines.job_check import CheckedJob
from pipelines.prompt_formats import COLUMNS
from pipelines.prompts import InputInfo

_SHOWN = 8


def remark_on_job(job: CheckedJob) -> Iterator[str]:
    """What is to be said before `job` runs."""
    sampling = job.config.sampling
    shape = Shape(height=sampling.height, width=sampling.width, num_frames=sampling.num_frames)
    yield from remark_on_size(shape, job.card.numbers)
    yield from remark_on_columns(job.input)


def remark_on_size(shape: Shape, numbers: ModelNumbers) -> Iterator[str]:
    """A sentence if `shape` is larger than what the model was trained for."""
    if max(shape.height, shape.width) > numbers.native_edge:
        yield (
            f"{shape.width}x{shape.height} is larger than {numbers.native_edge}x{numbers.native_edge}, "
            "what the model was trained for; expect worse videos"
        )


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
