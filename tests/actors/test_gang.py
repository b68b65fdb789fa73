import asyncio
import os
import signal
import time

import numpy as np
import numpy.typing as npt
import pytest

from actors.engine import RunOptions
from actors.pool_client import PoolClient
from cluster.errors import GangError, RequestError
from tests.actors.conftest import MakeRequest

WITH_LATENTS = RunOptions(return_latents=True)
Latents = dict[int, npt.NDArray[np.float32]]
TOLERANCE = 1e-4
"""Of the latents' standard deviation."""


def busy_pids(pool: PoolClient) -> list[int]:
    return [member.pid for member in pool.status().members if member.state == "busy"]


async def interrupted(pool: PoolClient, make_request: MakeRequest, sent: signal.Signals) -> tuple[str, float]:
    """Send a signal to rank 1 of a gang in mid-video; return the error of the video and the seconds it took."""
    moving = asyncio.Event()
    video = asyncio.ensure_future(
        pool.submit(make_request(steps=1000), width=2, on_progress=lambda steps: moving.set() if steps > 1 else None)
    )
    await asyncio.wait_for(moving.wait(), 60)
    pids = await asyncio.to_thread(busy_pids, pool)
    begun = time.monotonic()
    os.kill(pids[1], sent)
    with pytest.raises(GangError) as caught:
        await video
    assert f"pid {pids[1]}" in str(caught.value)
    return str(caught.value), time.monotonic() - begun


def test_gangs_of_every_width_make_the_same_video(fresh_latents: Latents) -> None:
    tolerance = TOLERANCE * fresh_latents[1].std()
    for width in (2, 3):
        assert np.abs(fresh_latents[width] - fresh_latents[1]).max() <= tolerance


def test_frames_come_in_order_whatever_the_width(pool: PoolClient, make_request: MakeRequest) -> None:
    alone, together = (pool.submit_sync(make_request(), width=width) for width in (1, 3))
    assert alone.frames.shape == together.frames.shape == (16, 64, 64, 3)
    assert together.report.gang == together.width == 3
    assert np.abs(alone.frames.astype(int) - together.frames.astype(int)).max() <= 1


def test_a_gang_whose_ranks_all_refuse_a_request_makes_the_next_one(
    pool: PoolClient, make_request: MakeRequest, fresh_latents: Latents
) -> None:
    pids = {member.pid for member in pool.status().members}
    with pytest.raises(RequestError, match="not divisible"):
        pool.submit_sync(make_request(height=60), width=2)
    result = pool.submit_sync(make_request(), width=2, options=WITH_LATENTS)
    assert np.array_equal(result.latents, fresh_latents[2])
    assert {member.pid for member in pool.status().members} == pids


def test_an_error_that_all_ranks_share_costs_no_worker(
    pool: PoolClient, make_request: MakeRequest, fresh_latents: Latents
) -> None:
    pids = {member.pid for member in pool.status().members}
    with pytest.raises(GangError, match=r"rank 0 of 2 failed after 0 of 4 steps: TypeError"):
        pool.submit_sync(make_request(guidance_scale="three"), width=2)
    result = pool.submit_sync(make_request(), width=2, options=WITH_LATENTS)
    assert np.array_equal(result.latents, fresh_latents[2])
    assert {member.pid for member in pool.status().members} == pids


def test_a_killed_rank_fails_its_video_within_seconds_and_the_next_one_is_right(
    pool: PoolClient, make_request: MakeRequest, fresh_latents: Latents
) -> None:
    message, seconds = asyncio.run(interrupted(pool, make_request, signal.SIGKILL))
    assert "rank 1 of 2" in message
    assert "died after" in message
    assert seconds < 5
    result = pool.submit_sync(make_request(), width=2, options=WITH_LATENTS)
    assert np.array_equal(result.latents, fresh_latents[2])


@pytest.mark.slow
def test_a_hung_rank_is_noticed_by_the_step_timeout_and_the_next_video_is_right(
    pool: PoolClient, make_request: MakeRequest, fresh_latents: Latents
) -> None:
    message, seconds = asyncio.run(interrupted(pool, make_request, signal.SIGSTOP))
    assert "has not answered for" in message
    assert "cluster.step_timeout_s" in message
    assert 9 < seconds < 20
    result = pool.submit_sync(make_request(), width=3, options=WITH_LATENTS)
    assert np.array_equal(result.latents, fresh_latents[3])


def test_a_worker_that_dies_while_idle_is_replaced(pool: PoolClient, make_request: MakeRequest) -> None:
    pool.submit_sync(make_request(), width=2)
    victim = pool.status().members[0].pid
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        members = pool.status().members
        if all(member.pid != victim and member.state in ("free", "idle") for member in members):
            break
        time.sleep(0.2)
    assert pool.submit_sync(make_request(), width=3).width == 3
