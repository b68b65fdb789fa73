"""The driving of one run: the pipeline in one thread, the pool opened from another, this one looking on."""

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actors.pool_client import PoolClient
from actors.status import PoolStatus
from cluster.errors import ClusterError, PabcastError
from pipelines.audit import AuditResult, audit
from pipelines.daemons import Daemons, RayLost
from pipelines.desk import RemoteDesk
from pipelines.expected import expected_of
from pipelines.interrupts import Interrupts
from pipelines.job_check import CheckedJob
from pipelines.ledger import Entry, LedgerCounts
from pipelines.pipeline import outcomes_of, widths_of
from pipelines.progress import Progress, Snapshot
from pipelines.submitter import Parts

log = logging.getLogger("pabcast.job")

LOOK_EVERY_S = 0.5
LOOK_TIMEOUT_S = 2.0
LAST_LOOK_TIMEOUT_S = 30.0
LEAVE_TIMEOUT_S = 20.0


@dataclass(kw_only=True)
class Tale:
    """What is known of a run, while it goes and at its end."""

    counts: LedgerCounts = field(default_factory=lambda: LedgerCounts(requested=0, skipped=0, committed=0, failed=0))
    failures: list[Entry] = field(default_factory=list)
    status: PoolStatus | None = None
    """The pool's last word; None if none was needed."""
    part_seconds: Counter[str] = field(default_factory=Counter)
    audit: AuditResult = field(default_factory=AuditResult)
    problem: PabcastError | None = None
    """Why the run could not go on."""
    interrupted: bool = False
    """Whether it was asked to stop."""


class Drive:
    """Drives a job's pipeline to its end, the first problem or the first Ctrl-C. Use it in a `with`."""

    def __init__(self, job: CheckedJob, progress: Progress, interrupts: Interrupts, daemons: Daemons) -> None:
        self._job = job
        self._progress = progress
        self._interrupts = interrupts
        self._daemons = daemons
        self._desk = RemoteDesk.start()
        self._pool: PoolClient | None = None
        self._opener: threading.Thread | None = None
        self._stopping = threading.Event()
        self.tale = Tale()

    def __enter__(self) -> "Drive":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave the pool, so that it ends."""
        self._stopping.set()
        if kind is KeyboardInterrupt:
            return
        if self._opener is not None:
            self._wait_for(self._opener)
        self._wait_for(_in_background(self._leave_pool, "job-leave"))

    def run(self) -> Tale:
        """Returns when nothing is left to wait for; what went wrong is in the tale."""
        drain = _in_background(self._drain, "job-drain")
        while drain.is_alive() and not self._interrupts.count and self.tale.problem is None:
            drain.join(LOOK_EVERY_S)
            self._look(LOOK_TIMEOUT_S)
        self.tale.interrupted = self._interrupts.count > 0
        if self.tale.interrupted:
            self._daemons.let_go()
        if drain.is_alive():
            if self.tale.interrupted:
                self._progress.say("stopping; what is committed stays")
            self._stopping.set()
            self._wait_for(_in_background(self._stop, "job-stop"))
            self._wait_for(drain)
        deadline = time.monotonic() + LAST_LOOK_TIMEOUT_S
        while not self._look(LOOK_TIMEOUT_S) and not self._daemons.ending() and time.monotonic() < deadline:
            pass
        if self.tale.problem is None and not drain.is_alive() and not self._daemons.ending():
            self._audit()
        return self.tale

    def _wait_for(self, thread: threading.Thread) -> None:
        """Wait for a thread that talks to Ray, no longer than there is a Ray to answer it."""
        deadline = time.monotonic() + LEAVE_TIMEOUT_S
        while thread.is_alive() and not self._daemons.ending() and time.monotonic() < deadline:
            thread.join(LOOK_EVERY_S)

    def _audit(self) -> None:
        try:
            self.tale.audit = audit(self._job.store, self._desk, complete=not self._stopping.is_set())
        except PabcastError as error:
            self._give_up(error)

    def _look(self, timeout_s: float) -> bool:
        """See where the job stands; False if nobody told in time."""
        try:
            if dead := self._daemons.dead():
                raise RayLost(f"Ray has lost its {dead}, without which no video can be made")
            self.tale.counts, wanted = self._desk.look(timeout_s)
            if self.tale.counts.failed:
                self.tale.failures = self._desk.failures(timeout_s)
            if wanted and self._opener is None and not self._stopping.is_set():
                self._opener = _in_background(self._open_pool, "job-pool")
            if self._pool is not None:
                self.tale.status = self._pool.status(timeout_s)
        except TimeoutError:
            return False
        except ClusterError as error:
            self._give_up(error)
        self._progress.show(Snapshot(counts=self.tale.counts, pool=self.tale.status))
        return True

    def _stop(self) -> None:
        with contextlib.suppress(ClusterError):
            self._desk.close_pool()
        self._leave_pool()

    def _leave_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            with contextlib.suppress(ClusterError, TimeoutError):
                self.tale.status = pool.status(LOOK_TIMEOUT_S)
            pool.close()

    def _open_pool(self) -> None:
        cluster = self._job.config.cluster
        try:
            expected = expected_of(self._job, widths_of(self._job)) if cluster.compile else None
            pool = PoolClient.connect(cluster.pool_spec(self._job.card.path, expected))
            if self._stopping.is_set():
                pool.close()
                return
            self._pool = pool
            pool.wait_ready(cluster.ready_limit_s)
            self._desk.open_pool(pool)
        except PabcastError as error:
            self._give_up(error)
        except Exception as error:
            self._give_up(ClusterError(f"the pool could not be opened: {type(error).__name__}: {error}"))

    def _drain(self) -> None:
        try:
            outcomes = outcomes_of(self._job, self._desk)
            batches: Any = outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
            for batch in batches:
                for row in batch.to_pylist():
                    if row["outcome"] == "stop":
                        raise ClusterError(row["reason"])
                    self.tale.part_seconds.update({part: row[part] for part in Parts.__dataclass_fields__})
                if self._stopping.is_set():
                    return
        except Exception as error:
            self._give_up(_cause(error))

    def _give_up(self, error: PabcastError) -> None:
        if not self._stopping.is_set() and not self._interrupts.count and self.tale.problem is None:
            self.tale.problem = error


def _in_background(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


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
