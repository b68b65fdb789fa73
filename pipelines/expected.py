"""What a job's workers compile for before their first video."""

from actors.spec import Expected
from cluster.errors import RequestError
from pipelines.job_check import CheckedJob
from pipelines.rows import BadRow, read_row
from pipelines.width_policy import WidthPolicy

PROMPT = "a video"
"""Stands for all: compiled blocks take text of any length."""


def expected_of(job: CheckedJob, widths: WidthPolicy) -> Expected | None:
    """A video as the job's `sampling` has it; None if no gang could make it."""
    found = read_row({"prompt": PROMPT}, "sampling", job.defaults)
    if isinstance(found, BadRow):
        return None
    try:
        width, _ = widths.offer(found[0])
    except RequestError:
        return None
    return Expected(request=found[0], options=job.config.options, width=width)
