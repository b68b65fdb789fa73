"""A video outlives its gang."""

import asyncio
import os
import signal
import time

import numpy as np
import pytest

from actors.engine import RunOptions, VideoRequest
from actors.glimpse import Glimpse
from actors.pool_client import PoolClient
from actors.result import VideoResult
from cluster.pab import PabConfig
from tests.actors.conftest import MakeRequest

pytestmark = pytest.mark.slow

PAB246 = PabConfig(spatial=2, temporal=4, cross=6, window=(0.1, 0.9))
OPTIONS = RunOptions(return_latents=True, snapshot_every=4)


async def lose_a_rank(pool: PoolClient, request: VideoRequest, after: int) -> tuple[VideoResult, float]:
    """Kill rank 1 of 2 after so many steps; return the video and the seconds until its workers were taken from it."""
    moving = asyncio.Event()
    video = asyncio.ensure_future(
        pool.submit(request, width=2, options=OPTIONS, on_progress=lambda steps: steps > after and moving.set())
    )
    await asyncio.wait_for(moving.wait(), 60)
    before = await asyncio.to_thread(pool.status)
    busy = [member.pid for member in before.members if member.state == "busy"]
    begun = time.monotonic()
    os.kill(busy[1], signal.SIGKILL)
    while (await asyncio.to_thread(pool.status)).resumed == before.resumed:
        assert time.monotonic() < begun + 30
        await asyncio.sleep(0.1)
    noticed_s = time.monotonic() - begun
    return await video, noticed_s


def test_a_video_whose_rank_is_killed_goes_on_from_its_snapshot_and_is_bit_identical(
    pool: PoolClient, make_request: MakeRequest
) -> None:
    request = make_request(steps=400, pab=PAB246)
    undisturbed = pool.submit_sync(request, width=2, options=OPTIONS)
    result, noticed_s = asyncio.run(lose_a_rank(pool, request, 60))
    assert noticed_s < 5
    assert undisturbed.report.first_step == 0
    # The pool asks twice a second, in which this small model makes some thirty steps.
    assert result.report.first_step > 0
    assert np.array_equal(result.latents, undisturbed.latents)
    assert np.array_equal(result.frames, undisturbed.frames)


def test_a_video_in_the_making_can_be_seen_at_each_of_its_snapshots(
    pool: PoolClient, make_request: MakeRequest
) -> None:
    seen: list[Glimpse] = []
    request, options = make_request(steps=500, pab=PAB246), RunOptions(return_latents=True, snapshot_every=40)
    result = pool.submit_sync(
        request,
        width=2,
        priority="online",
        options=options,
        on_progress=lambda steps: None,
        on_glimpse=seen.append,
        progress_s=0.02,
    )
    assert result.latents is not None
    assert seen
    assert [glimpse.step for glimpse in seen] == sorted({glimpse.step for glimpse in seen})
    final = result.latents[0, :, 0]
    assert {glimpse.latents.shape for glimpse in seen} == {final.shape}
    assert len({glimpse.latents.tobytes() for glimpse in seen}) == len(seen)
