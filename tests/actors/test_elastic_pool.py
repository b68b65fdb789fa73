"""A pool that has workers only while it has work."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from actors.status import PoolStatus
from cluster.autoscaler import ScalePolicy
from cluster.errors import ClusterError
from tests.actors.conftest import MakeRequest

POLICY = ScalePolicy(max_workers=4, min_workers=0, domain_workers=2, idle_release_s=1)


def until(pool: PoolClient, done: Callable[[PoolStatus], bool]) -> PoolStatus:
    deadline = time.monotonic() + 60
    while not done(status := pool.status()):
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
    return status


@pytest.mark.slow
def test_a_pool_without_work_has_no_worker_and_is_ready(
    ray_session: None, pool_spec: PoolSpec, make_request: MakeRequest
) -> None:
    spec = PoolSpec(model=pool_spec.model, workers=4, device="cpu", threads_per_worker=1, elastic=POLICY)
    with PoolClient.connect(spec, name="elastic") as pool:
        pool.wait_ready(60)
        status = pool.status()
        assert (status.phase, status.members, status.domains, status.gpu_seconds) == ("ready", (), (), 0)
        for generation in (1, 2):
            assert pool.submit_sync(make_request(), width=2).generation == generation
            status = until(pool, lambda status: not status.domains)
            assert (status.phase, status.members) == ("ready", ())
        assert status.done == 2
        assert status.gpu_seconds == pool.status().gpu_seconds > 2 * 2


def test_a_spent_budget_ends_what_waits_with_a_sentence(
    ray_session: None, pool_spec: PoolSpec, make_request: MakeRequest
) -> None:
    tight = replace(POLICY, budget_gpu_hours=1e-6)
    spec = PoolSpec(model=pool_spec.model, workers=4, device="cpu", threads_per_worker=1, elastic=tight)
    with PoolClient.connect(spec, name="tight") as pool, pytest.raises(ClusterError, match="the budget is spent"):
        pool.wait_ready(60)
        for _ in range(3):
            pool.submit_sync(make_request(), width=2)
