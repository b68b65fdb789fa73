"""The dataset job: prompts in, a video dataset out, streamed through Ray Data and a pool of gangs."""

import importlib.metadata
import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import ray
import ray.data

from actors.engine.request import RunOptions
from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from actors.status import PoolStatus
from cluster.errors import ClusterError, PabcastError, StoreError
from pipelines.checker import Checker
from pipelines.commits import Commits
from pipelines.config import JobConfig
from pipelines.desk import start_desk
from pipelines.interrupts import Interrupts
from pipelines.job_check import CheckedJob, check_job
from pipelines.metadata import compact
from pipelines.progress import Progress, Snapshot
from pipelines.prompts import read_rows
from pipelines.ray_session import quiet_ray_data, ray_session
from pipelines.submitter import Parts, Submitter, SubmitterSetup
from pipelines.summary import Failure, JobSummary

log = logging.getLogger("pabcast.job")

CHECK_ROWS = 64
"""Rows checked by one task."""
SUBMITTER_WORKERS = 16
"""Workers that one submitter process keeps busy."""
DATA_CPUS = 0.05
"""Logical CPUs of a data task: next to none, so that a cluster full of workers can still read prompts."""
LOOK_EVERY_S = 0.5
LEAVE_TIMEOUT_S = 20.0
RUN_FILE = "_pabcast/run.yaml"


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
    progress.say(job.probe.message)
    job.store.put(RUN_FILE, _run_file(config, job).encode(), "application/yaml")
    with Interrupts() as interrupts, ray_session(config.cluster):
        interrupts.listen()
        run = _Run(job, progress, interrupts)
        try:
            run.drive()
        finally:
            run.close()
        rows = _compact(job, started_at, run.problem)
        summary = run.summary(rows, time.time() - started_at)
    if run.problem is not None:
        raise type(run.problem)(_going_on(run.problem, summary)) from run.problem
    if summary.requested > summary.skipped + summary.committed + summary.failed and not interrupts.count:
        raise ClusterError(_lost(summary))
    return JobResult(summary=summary, interrupted=interrupts.count > 0)


class _Run:
    """One run: a thread drives the data pipeline, another opens the pool when it is wanted; this one looks on."""

    def __init__(self, job: CheckedJob, progress: Progress, interrupts: Interrupts) -> None:
        self._job = job
        self._progress = progress
        self._interrupts = interrupts
        self._desk = start_desk()
        self._pool: PoolClient | None = None
        self._opener: threading.Thread | None = None
        self._status: PoolStatus | None = None
        self._seconds: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._last: Any = None
        self._failures: list[Any] = []
        self.problem: PabcastError | None = None

    def drive(self) -> None:
        """Run the pipeline to its end, the first problem or the first Ctrl-C."""
        drain = threading.Thread(target=self._drain, name="job-drain", daemon=True)
        drain.start()
        while drain.is_alive() and not self._interrupts.count and self.problem is None:
            drain.join(LOOK_EVERY_S)
            self._look()
        if drain.is_alive():
            self._progress.say("stopping; what is committed stays")
            self._stop(drain)
        self._look()

    def close(self) -> None:
        """Keep the pool's last numbers and leave it, so that it ends."""
        self._stopping.set()
        if self._opener is not None:
            self._opener.join(LEAVE_TIMEOUT_S)
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def summary(self, rows: int, seconds: float) -> JobSummary:
        """What to tell at the end; `rows` are the videos in the dataset now."""
        counts = self._last
        return JobSummary(
            requested=counts.requested,
            skipped=counts.skipped,
            committed=counts.committed,
            failed=counts.failed,
            seconds=seconds,
            gang_busy_fraction=self._status.gang_busy_fraction if self._status else 0.0,
            uri=self._job.store.uri,
            rows=rows,
            failures=tuple(Failure(source=item.source, id=item.id, reason=item.reason) for item in self._failures),
            parts=dict(self._seconds),
        )

    def _stop(self, drain: threading.Thread) -> None:
        """Ask the submitters to stop and cancel what the gangs are at."""
        self._stopping.set()
        ray.get(self._desk.close_pool.remote())
        if self._pool is not None:
            self._status = self._pool.status()
            self._pool.close()
            self._pool = None
        drain.join(LEAVE_TIMEOUT_S)

    def _look(self) -> None:
        self._last, wanted = ray.get(self._desk.look.remote())
        self._failures = ray.get(self._desk.failures.remote()) if self._last.failed else []
        if wanted and self._opener is None and not self._stopping.is_set():
            self._opener = threading.Thread(target=self._open_pool, name="job-pool", daemon=True)
            self._opener.start()
        if self._pool is not None:
            self._status = self._pool.status()
        self._progress.show(self._snapshot())

    def _snapshot(self) -> Snapshot:
        status = self._status
        if status is None or status.phase == "starting":
            return Snapshot(counts=self._last)
        return Snapshot(
            counts=self._last,
            busy_gangs=status.busy_gangs,
            busy_workers=status.busy_workers,
            workers=status.workers,
        )

    def _open_pool(self) -> None:
        cluster = self._job.config.cluster
        spec = PoolSpec(
            model=self._job.card.path,
            workers=cluster.workers,
            device=cluster.device,
            dtype=cluster.dtype,
            threads_per_worker=cluster.threads_per_worker,
            step_timeout_s=cluster.step_timeout_s,
            client_timeout_s=cluster.client_timeout_s,
        )
        try:
            pool = PoolClient.connect(spec)
            if self._stopping.is_set():
                pool.close()
                return
            self._pool = pool
            pool.wait_ready(cluster.ready_timeout_s)
            ray.get(self._desk.open_pool.remote(pool))
        except PabcastError as error:
            self._give_up(error)

    def _drain(self) -> None:
        try:
            outcomes = _pipeline(self._job, self._desk)
            batches: Any = outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
            for batch in batches:
                for row in batch.to_pylist():
                    if row["outcome"] == "stop":
                        raise ClusterError(row["reason"])
                    self._seconds.update({part: row[part] for part in Parts.__dataclass_fields__})
                if self._stopping.is_set():
                    return
        except Exception as error:
            self._give_up(_cause(error))

    def _give_up(self, error: PabcastError) -> None:
        if not self._stopping.is_set() and self.problem is None:
            self.problem = error


def _compact(job: CheckedJob, started_at: float, problem: PabcastError | None) -> int:
    """The rows of the metadata; a job that has a problem already keeps that one."""
    try:
        return compact(job.store, started_at=started_at).rows
    except StoreError as error:
        if problem is None:
            raise
        log.warning("the metadata is not up to date: %s", error)
        return 0


def _pipeline(job: CheckedJob, desk: Any) -> "ray.data.Dataset":
    """Rows → requests to be made → outcomes. Blocks of one row, so that each outcome flows when it is there."""
    config = job.config
    quiet_ray_data()
    commits = Commits(job.store)
    checker = Checker(defaults=job.defaults, commits=commits, desk=desk)
    setup = SubmitterSetup(
        commits=commits,
        desk=desk,
        gang=config.gang,
        numbers=job.card.numbers,
        options=RunOptions(guidance=config.engine.guidance),
        attempts=config.attempts,
    )
    processes = -(-config.cluster.workers // SUBMITTER_WORKERS)
    flight = -(-config.videos_in_flight // processes)
    check: Any = checker.check
    rows = read_rows(job.input, num_cpus=DATA_CPUS)
    wanted = rows.map_batches(check, batch_size=CHECK_ROWS, batch_format="pyarrow", num_cpus=DATA_CPUS)
    single = wanted.repartition(target_num_rows_per_block=1)
    return single.map_batches(
        Submitter,
        fn_constructor_args=(setup,),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=DATA_CPUS,
        compute=ray.data.ActorPoolStrategy(
            size=processes, max_tasks_in_flight_per_actor=flight, max_concurrent_calls_per_actor=flight
        ),
    )


def _cause(error: BaseException) -> PabcastError:
    """The pabcast error inside what Ray raised."""
    seen: list[BaseException | None] = [error]
    while seen:
        here = seen.pop()
        if isinstance(here, PabcastError):
            return here
        if here is not None:
            seen += [here.__context__, here.__cause__, getattr(here, "cause", None)]
    log.error("the data pipeline failed", exc_info=error)
    first = (str(error).splitlines() or [""])[0]
    return ClusterError(f"the data pipeline failed: {type(error).__name__}: {first}")


def _going_on(problem: PabcastError, summary: JobSummary) -> str:
    done = summary.skipped + summary.committed
    return f"{problem}; {done} videos are committed; run the same command again to go on"


def _lost(summary: JobSummary) -> str:
    lost = summary.requested - summary.skipped - summary.committed - summary.failed
    return f"{lost} rows have no outcome; run the same command again to make them"


def _run_file(config: JobConfig, job: CheckedJob) -> str:
    names = ("pabcast", "ray", "torch", "diffusers", "transformers", "av", "pyarrow")
    lines = [f"  {name}: {_version(name)}" for name in names]
    return (
        f"{config.to_yaml()}# not part of the config\n# model_revision: {job.card.revision}\n# versions:\n"
        + "".join(f"#{line}\n" for line in lines)
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
