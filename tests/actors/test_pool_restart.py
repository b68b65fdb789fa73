"""The pool's own process dies."""

import asyncio
import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import ray

from actors.engine import RunOptions
from actors.pool_client import NAMESPACE, PoolClient
from actors.result import VideoResult
from actors.spec import PoolSpec
from cluster.pab import PabConfig
from tests.actors.conftest import MakeRequest

pytestmark = pytest.mark.slow

PAB246 = PabConfig(spatial=2, temporal=4, cross=6, window=(0.1, 0.9))
OPTIONS = RunOptions(return_latents=True, snapshot_every=4)


@pytest.fixture(scope="module")
def restarted(ray_session: None, pool_spec: PoolSpec) -> Iterator[PoolClient]:
    """A pool of its own: its process is going to be killed."""
    spec = PoolSpec(model=pool_spec.model, workers=2, device="cpu", threads_per_worker=1, client_timeout_s=6)
    with PoolClient.connect(spec, name="restarted") as client:
        client.wait_ready(120)
        yield client


async def lose_the_pool(pool: PoolClient, make_request: MakeRequest) -> tuple[VideoResult, float]:
    """The video that goes on, and the worker-seconds that the pool had cost when it was killed."""
    request, waiting = make_request(steps=400, pab=PAB246), make_request(seed=2)
    moving = asyncio.Event()
    video = asyncio.ensure_future(
        pool.submit(request, width=2, options=OPTIONS, on_progress=lambda steps: steps > 60 and moving.set())
    )
    await asyncio.wait_for(moving.wait(), 60)
    queued = asyncio.ensure_future(pool.submit(waiting, width=2, options=OPTIONS))
    status = await asyncio.to_thread(pool.status)
    os.kill(status.pid, signal.SIGKILL)
    await asyncio.wait_for(queued, 120)
    return await video, status.gpu_seconds


async def lose_the_keeper(pool: PoolClient, make_request: MakeRequest) -> VideoResult:
    moving = asyncio.Event()
    video = asyncio.ensure_future(
        pool.submit(make_request(steps=200), width=2, attempts=3, on_progress=lambda steps: steps > 20 and moving.set())
    )
    await asyncio.wait_for(moving.wait(), 60)
    ray.kill(ray.get_actor("restarted-keeper", NAMESPACE))
    return await asyncio.wait_for(video, 120)


def test_a_pool_that_is_killed_takes_its_workers_back_and_its_videos_go_on(
    restarted: PoolClient, make_request: MakeRequest
) -> None:
    before = restarted.status()
    undisturbed = restarted.submit_sync(make_request(steps=400, pab=PAB246), width=2, options=OPTIONS)
    video, spent = asyncio.run(lose_the_pool(restarted, make_request))
    after = restarted.status()
    assert after.pid != before.pid
    assert {member.pid for member in after.members} == {member.pid for member in before.members}
    assert video.report.first_step > 0
    assert np.array_equal(video.latents, undisturbed.latents)
    assert after.generation > before.generation
    assert after.gpu_seconds > spent


def test_a_pool_whose_keeper_is_killed_starts_again_and_makes_its_videos(
    restarted: PoolClient, make_request: MakeRequest
) -> None:
    before = restarted.status()
    video = asyncio.run(lose_the_keeper(restarted, make_request))
    after = restarted.status()
    assert video.report.steps == 200
    assert after.pid != before.pid
    assert not {member.pid for member in after.members} & {member.pid for member in before.members}


def test_no_name_of_a_restarted_pool_is_left_when_its_last_client_goes(ray_session: None, pool_spec: PoolSpec) -> None:
    spec = PoolSpec(model=pool_spec.model, workers=1, device="cpu", threads_per_worker=1, client_timeout_s=6)
    with PoolClient.connect(spec, name="brief") as client:
        client.wait_ready(120)
        os.kill(client.status().pid, signal.SIGKILL)
        client.wait_ready(60)
        assert client.status().phase == "ready"
    names = {
        entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE
    }
    assert not {name for name in names if name.startswith("brief")}
