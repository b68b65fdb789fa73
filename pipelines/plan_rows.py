"""The rows of a job as requests, read here and now: no Ray, and nothing is written."""

from collections.abc import Iterator

from actors.engine.request import VideoRequest
from pipelines.config import JobConfig
from pipelines.prompts import InputInfo, check_input
from pipelines.rows import BadRow, RowDefaults, read_source_row
from pipelines.width_policy import model_numbers


def planned_requests(config: JobConfig, found: InputInfo | None = None) -> Iterator[VideoRequest | str]:
    """Every request of the job's input, or the reason why a row has none; the prompts are read, not kept.

    Repeats are planned as often as they are asked for, and what is committed already is planned too.
    """
    from pipelines.prompt_source import PromptSource

    found = found or check_input(config.input.path)
    defaults = RowDefaults.of(config, model_numbers(config.model))
    for table in PromptSource(found.store, found.files, found.format).tables():
        for row in table.to_pylist():
            made = read_source_row(row, defaults)
            yield from [made.reason] if isinstance(made, BadRow) else made
