"""Whether a job has anything left to make, found out without Ray where that takes seconds."""

import time

from pipelines.checker import Checker
from pipelines.commits import Commits
from pipelines.job_check import CheckedJob
from pipelines.ledger import Ledger
from pipelines.prompt_source import PromptSource

LIMIT_S = 5.0


def look_quickly(job: CheckedJob, limit_s: float = LIMIT_S) -> Ledger | None:
    """The ledger of a run in which every sample is committed or its row is bad.

    None at the first sample that is to be made, or if the input is not read within `limit_s`: then the
    pipeline does it all over again, in parallel. Raises `StoreError` as the pipeline would.
    """
    begun = time.monotonic()
    ledger = Ledger()
    checker = Checker(defaults=job.defaults, commits=Commits(job.store), ledger=ledger)
    source = PromptSource(job.input.store, job.input.files, job.input.format)
    for table in source.tables():
        if checker.check(table).num_rows or time.monotonic() - begun > limit_s:
            return None
    return ledger
