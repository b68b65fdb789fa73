"""What tests of the dataset job say of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.config import JobConfig
from pipelines.job import run_job
from pipelines.progress import Progress
from pipelines.summary import JobSummary

MakeJob = Callable[..., JobConfig]
Rows = list[dict[str, Any]]


def run(config: JobConfig) -> JobSummary:
    with Progress(print, live=False) as progress:
        return run_job(config, progress).summary


def tally(summary: JobSummary) -> tuple[int, int, int, int]:
    return summary.requested, summary.skipped, summary.committed, summary.failed


def commits(out: Path) -> dict[str, float]:
    return {file.stem: file.stat().st_mtime for file in (out / "_pabcast/commits").rglob("*.json")}
