"""The data pipeline of a job: rows, then requests still to be made, then outcomes."""

from typing import TYPE_CHECKING, Any

import ray.data

from actors.engine.request import RunOptions
from pipelines.checker import Checker
from pipelines.commits import Commits
from pipelines.desk import RemoteDesk
from pipelines.job_check import CheckedJob
from pipelines.prompts import read_rows
from pipelines.ray_session import quiet_ray_data
from pipelines.submitter import Submitter, SubmitterSetup

if TYPE_CHECKING:
    from ray.data import Dataset

CHECK_ROWS = 64
"""Rows checked by one task."""
SUBMITTER_WORKERS = 16
"""Workers that one submitter process keeps busy."""
DATA_CPUS = 0.05
"""Logical CPUs of a data task: next to none, so that a cluster full of workers can still read prompts."""


def outcomes_of(job: CheckedJob, desk: RemoteDesk) -> "Dataset":
    """The outcomes of the job's rows, lazily; blocks of one row, so that each flows when it is there."""
    config = job.config
    quiet_ray_data()
    commits = Commits(job.store)
    # Its stubs know no functions of arrow tables.
    check: Any = Checker(defaults=job.defaults, commits=commits, ledger=desk).check
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
