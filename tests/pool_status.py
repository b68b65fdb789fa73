"""The status of a pool that has done nothing yet, for tests to change."""

from actors.status import PoolStatus

QUIET = PoolStatus(
    phase="ready",
    pid=1,
    workers=4,
    busy_workers=0,
    busy_gangs=0,
    gangs=(),
    queued=0,
    lines=(),
    domains=(),
    done=0,
    failed=0,
    cancelled=0,
    resumed=0,
    reshaped=0,
    widened=0,
    handed_over=0,
    snapshots=0,
    retries={},
    generation=0,
    gang_busy_seconds=0.0,
    gang_seconds=0.0,
    gpu_seconds=0.0,
    budget_gpu_seconds=None,
    members=(),
)
