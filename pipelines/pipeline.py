"""The data pipeline of a job: rows, then requests still to be made, then outcomes."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray.data

from cluster.placement import accelerators, label_of_our_node
from pipelines.checker import Checker
from pipelines.commits import Commits
from pipelines.config import JobConfig
from pipelines.desk import RemoteDesk
from pipelines.gpus import gpu_of
from pipelines.job_check import CheckedJob
from pipelines.prompt_source import PromptSource
from pipelines.ray_session import quiet_ray_data
from pipelines.read_gate import ReadGate
from pipelines.submitter import Submitter, SubmitterSetup
from pipelines.width_policy import WidthPolicy

if TYPE_CHECKING:
    from ray.data import Dataset

CHECK_ROWS = 64
"""Rows checked by one task, and held by one call of a submitter."""
READERS = CHECKERS = 2
"""Processes that read prompt files, and that check rows; a gang takes far longer over a row."""
SUBMITTER_WORKERS = 16
"""Workers that one submitter process keeps busy."""
BLOCKS_AHEAD = 3
"""Blocks of rows that a submitter holds at once, so that its next rows are there when it needs them."""
BLOCK_BYTES = 8 << 10
"""Where a block ends: small ones, so that rows flow while their file is still being read."""
NO_CPUS = 0
"""Data tasks take no CPU slot: a cluster whose every slot is a worker's must still read prompts."""


def widths_of(job: CheckedJob) -> WidthPolicy:
    """How the job's gangs are sized on the cluster that Ray is connected to."""
    return WidthPolicy.of(_on_this_cluster(job.config), job.card.numbers, job.config.cluster.widest_of_a_job)


def _on_this_cluster(config: JobConfig) -> JobConfig:
    """The config with the GPU that the cluster has, unless it names one."""
    if config.gpu is not None or config.cluster.device == "cpu":
        return config
    return replace(config, gpu=gpu_of(accelerators()))


def outcomes_of(job: CheckedJob, desk: RemoteDesk) -> "Dataset":
    """The outcomes of the job's rows, lazily: read, check, have made."""
    config = job.config
    quiet_ray_data()
    commits = Commits(job.store)
    # Its stubs know no functions of arrow tables.
    check: Any = Checker(defaults=job.defaults, commits=commits, ledger=desk).check
    processes = -(-config.cluster.workers // SUBMITTER_WORKERS)
    setup = SubmitterSetup(
        commits=commits,
        desk=desk,
        widths=widths_of(job),
        options=config.options,
        attempts=config.attempts,
        flight=-(-config.videos_in_flight // processes),
    )
    source = PromptSource(job.input.store, job.input.files, job.input.format, ReadGate(desk.actor))
    readers = min(READERS, len(job.input.files))
    # Workers' nodes come and go, and none is given back while a process of Ray Data is there.
    here = label_of_our_node()
    rows = ray.data.read_datasource(source, num_cpus=NO_CPUS, concurrency=readers, label_selector=here)
    rows.context.target_max_block_size = BLOCK_BYTES
    wanted = rows.map_batches(
        check,
        batch_size=CHECK_ROWS,
        batch_format="pyarrow",
        num_cpus=NO_CPUS,
        label_selector=here,
        compute=ray.data.TaskPoolStrategy(size=CHECKERS),
    )
    outcomes: Dataset = wanted.map_batches(
        Submitter,
        fn_constructor_args=(setup,),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=NO_CPUS,
        label_selector=here,
        compute=ray.data.ActorPoolStrategy(
            size=processes, max_tasks_in_flight_per_actor=BLOCKS_AHEAD, max_concurrent_calls_per_actor=BLOCKS_AHEAD
        ),
    )
    return outcomes
