"""The dataset job: prompts in, a video dataset out, streamed through Ray Data and a pool of gangs."""

import logging
import time
from dataclasses import dataclass

from cluster.errors import ClusterError, PabcastError, StoreError
from pipelines.audit import audit
from pipelines.config import JobConfig
from pipelines.contact_sheet import write_contact_sheet
from pipelines.drive import Drive, Tale
from pipelines.interrupts import Interrupts
from pipelines.job_check import CheckedJob, check_job
from pipelines.metadata import CompactResult, compact
from pipelines.progress import Progress
from pipelines.quick_look import look_quickly
from pipelines.ray_session import ray_session
from pipelines.remarks import remark_on_broadcast, remark_on_job
from pipelines.run_file import write_run_file
from pipelines.summary import Failure, JobSummary

log = logging.getLogger("pabcast.job")


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """How a job ended."""

    summary: JobSummary
    interrupted: bool


def run_job(config: JobConfig, progress: Progress) -> JobResult:
    """Make every video of the job that is not committed yet, and compact the metadata.

    Raises:
        ConfigError: before anything is started.
        StoreError, ClusterError: the job could not go on; what is committed stays, and a rerun goes on from there.
    """
    started_at = time.time()
    job = check_job(config)
    for line in (job.probe.message, *remark_on_job(job)):
        progress.say(line)
    write_run_file(job)
    tale = _look_or_drive(job, progress)
    found = _compact(job, started_at, tale.problem)
    picture = _draw(job) if tale.counts.committed else None
    summary = _summarise(job, tale, found, picture, time.time() - started_at)
    if tale.problem is not None:
        raise type(tale.problem)(_going_on(tale.problem, summary)) from tale.problem
    if tale.counts.open and not tale.interrupted:
        raise ClusterError(f"{tale.counts.open} rows have no outcome; run the same command again to make them")
    return JobResult(summary=summary, interrupted=tale.interrupted)


def _look_or_drive(job: CheckedJob, progress: Progress) -> Tale:
    ledger = look_quickly(job)
    if ledger is not None:
        progress.say("nothing is left to make")
        return Tale(counts=ledger.counts(), failures=ledger.failures(), audit=audit(job.store, ledger, complete=True))
    for line in remark_on_broadcast(job):
        progress.say(line)
    with (
        ray_session(job.config.cluster) as daemons,
        Interrupts(daemons.hold) as interrupts,
        Drive(job, progress, interrupts, daemons) as drive,
    ):
        return drive.run()


def _compact(job: CheckedJob, started_at: float, problem: PabcastError | None) -> CompactResult:
    """Compact the metadata; a job that has a problem already keeps that one."""
    try:
        return compact(job.store, started_at=started_at)
    except StoreError as error:
        if problem is None:
            raise
        log.warning("the metadata is not up to date: %s", error)
        return CompactResult(rows=0, removed=0, missing=0)


def _draw(job: CheckedJob) -> str | None:
    """A picture is worth no failed job."""
    try:
        return write_contact_sheet(job.store)
    except Exception as error:
        log.warning("no picture of the videos was made: %s", error)
        return None


def _summarise(job: CheckedJob, tale: Tale, found: CompactResult, picture: str | None, seconds: float) -> JobSummary:
    return JobSummary(
        requested=tale.counts.requested,
        skipped=tale.counts.skipped,
        committed=tale.counts.committed,
        failed=tale.counts.failed,
        seconds=seconds,
        gang_busy_fraction=tale.status.gang_busy_fraction if tale.status else 0.0,
        uri=job.store.uri,
        rows=found.rows,
        missing=found.missing + tale.audit.lost,
        missing_names=tale.audit.lost_names + found.missing_names,
        lost=tale.audit.lost,
        picture=picture,
        failures=tuple(Failure(source=item.source, id=item.id, reason=item.reason) for item in tale.failures),
        retries=dict(tale.status.retries) if tale.status else {},
        parts=dict(tale.part_seconds),
    )


def _going_on(problem: PabcastError, summary: JobSummary) -> str:
    # A run that lost its ledger counts less than the dataset has; one that cannot compact finds no rows.
    done = max(summary.rows, summary.skipped + summary.committed - summary.lost)
    return f"{problem}; {done} videos are committed; run the same command again to go on"
