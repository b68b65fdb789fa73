"""At the end of a job, idle workers join the videos that are left."""

import asyncio

import numpy as np
import pytest

from actors.engine import RunOptions
from actors.pool_client import PoolClient
from actors.result import VideoResult
from cluster.pab import PabConfig
from tests.actors.conftest import MakeRequest

PAB246 = PabConfig(spatial=2, temporal=4, cross=6, window=(0.1, 0.9))
OPTIONS = RunOptions(return_latents=True)
TOLERANCE = 1e-4
"""Of the latents' standard deviation."""
SECONDS = {1: 60.0, 2: 30.0, 3: 20.0}


async def until(pool: PoolClient, busy_workers: int) -> None:
    while (await asyncio.to_thread(pool.status)).busy_workers != busy_workers:
        await asyncio.sleep(0.05)


def test_a_lone_request_that_may_be_wider_gets_all_workers(pool: PoolClient, make_request: MakeRequest) -> None:
    assert pool.submit_sync(make_request(), width=1, seconds=SECONDS).width == 3
    assert pool.submit_sync(make_request(), width=1).width == 1


@pytest.mark.slow
def test_a_running_video_moves_to_the_workers_that_come_free(pool: PoolClient, make_request: MakeRequest) -> None:
    request = make_request(steps=600, pab=PAB246)
    alone = pool.submit_sync(request, width=1, options=OPTIONS)
    before = pool.status()

    async def scene() -> VideoResult:
        others = asyncio.ensure_future(pool.submit(make_request(steps=1000), width=2, key="others"))
        await until(pool, 2)
        video = asyncio.ensure_future(pool.submit(request, width=1, seconds=SECONDS, options=OPTIONS))
        await until(pool, 3)
        await asyncio.to_thread(pool.cancel, "others")
        await asyncio.gather(others, return_exceptions=True)
        return await asyncio.wait_for(video, 120)

    moved = asyncio.run(scene())
    assert moved.width == 3
    assert moved.report.first_step > 0
    assert pool.status().widened == before.widened + 1
    assert np.abs(moved.latents - alone.latents).max() <= TOLERANCE * alone.latents.std()
