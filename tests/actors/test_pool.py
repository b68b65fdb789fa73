import asyncio
import time

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import ray

from actors.engine import RunOptions
from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from cluster.errors import Cancelled, ClusterError
from cluster.plan import BYPASS_LIMIT
from tests.actors.conftest import MakeRequest

Latents = dict[int, npt.NDArray[np.float32]]


async def until_moving(pool: PoolClient, busy_workers: int) -> None:
    while (await asyncio.to_thread(pool.status)).busy_workers < busy_workers:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)


def test_a_running_video_is_cancelled_within_a_step_and_the_next_one_is_bit_identical(
    pool: PoolClient, make_request: MakeRequest, fresh_latents: Latents
) -> None:
    pids = {member.pid for member in pool.status().members}

    async def scene() -> float:
        video = asyncio.ensure_future(pool.submit(make_request(steps=1000), width=2, key="long"))
        await until_moving(pool, 2)
        begun = time.monotonic()
        assert await asyncio.to_thread(pool.cancel, "long") == 1
        with pytest.raises(Cancelled):
            await video
        return time.monotonic() - begun

    assert asyncio.run(scene()) < 5
    result = pool.submit_sync(make_request(), width=2, options=RunOptions(return_latents=True))
    assert np.array_equal(result.latents, fresh_latents[2])
    assert {member.pid for member in pool.status().members} == pids


def test_a_waiting_video_is_cancelled_at_once(pool: PoolClient, make_request: MakeRequest) -> None:
    async def scene() -> None:
        running = asyncio.ensure_future(pool.submit(make_request(steps=1000), width=3, key="running"))
        await until_moving(pool, 3)
        waiting = asyncio.ensure_future(pool.submit(make_request(), width=1, key="waiting"))
        while (await asyncio.to_thread(pool.status)).queued == 0:
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(pool.cancel, "waiting") == 1
        with pytest.raises(Cancelled, match="while it waited"):
            await waiting
        await asyncio.to_thread(pool.cancel, "running")
        with pytest.raises(Cancelled):
            await running

    asyncio.run(scene())


def test_cancelling_the_awaiting_task_cancels_the_video(pool: PoolClient, make_request: MakeRequest) -> None:
    async def scene() -> None:
        video = asyncio.ensure_future(pool.submit(make_request(steps=1000), width=2))
        await until_moving(pool, 2)
        video.cancel()
        with pytest.raises(asyncio.CancelledError):
            await video
        async with asyncio.timeout(5):
            while (await asyncio.to_thread(pool.status)).busy_workers:
                await asyncio.sleep(0.05)

    asyncio.run(scene())


def test_a_wide_request_is_not_starved_by_narrow_ones(pool: PoolClient, make_request: MakeRequest) -> None:
    ended: list[str] = []

    async def video(name: str, width: int, steps: int = 4) -> None:
        await pool.submit(make_request(steps=steps), width=width)
        ended.append(name)

    async def scene() -> None:
        before = [asyncio.ensure_future(video("before", 1, steps=100)) for _ in range(3)]
        await until_moving(pool, 3)
        wide = asyncio.ensure_future(video("wide", 3))
        while (await asyncio.to_thread(pool.status)).queued == 0:
            await asyncio.sleep(0.02)
        await asyncio.gather(*before, wide, *(video("after", 1) for _ in range(30)))

    asyncio.run(scene())
    assert ended[: ended.index("wide")].count("after") <= BYPASS_LIMIT


def test_different_widths_run_at_the_same_time(pool: PoolClient, make_request: MakeRequest) -> None:
    async def scene() -> tuple[tuple[int, bool], ...]:
        videos = [asyncio.ensure_future(pool.submit(make_request(steps=1000), width=w, key="both")) for w in (1, 2)]
        await until_moving(pool, 3)
        gangs = (await asyncio.to_thread(pool.status)).gangs
        await asyncio.to_thread(pool.cancel, "both")
        await asyncio.gather(*videos, return_exceptions=True)
        return gangs

    assert sorted(asyncio.run(scene())) == [(1, True), (2, True)]


def test_a_gang_wider_than_the_pool_is_refused_at_once(pool: PoolClient, make_request: MakeRequest) -> None:
    with pytest.raises(ClusterError, match="width 4 needs 4 workers and the pool has 3"):
        pool.submit_sync(make_request(), width=4)


def test_the_workers_are_counted_busy_only_while_they_have_a_request(
    pool: PoolClient, make_request: MakeRequest
) -> None:
    before = pool.status()
    result = pool.submit_sync(make_request(), width=2)
    after = pool.status()
    grown = after.gang_busy_seconds - before.gang_busy_seconds
    assert 2 * result.report.seconds <= grown <= 2 * result.report.seconds + 2
    assert (after.done, after.busy_workers) == (before.done + 1, 0)
    assert 0 < after.gang_busy_fraction < 1


def test_a_second_client_with_the_same_spec_joins_the_pool(
    pool: PoolClient, pool_spec: PoolSpec, make_request: MakeRequest
) -> None:
    with PoolClient.connect(pool_spec, name="shared") as other:
        assert other.submit_sync(make_request(), width=1).frames.shape == (16, 64, 64, 3)
    assert pool.status().phase == "ready"


def test_a_client_with_another_spec_is_told_the_difference(pool: PoolClient, tiny_model: object) -> None:
    with pytest.raises(ClusterError, match="workers 3, not 2"):
        PoolClient.connect(PoolSpec(model=str(tiny_model), workers=2, device="cpu"), name="shared")


def test_an_actor_of_the_driver_submits_with_a_handle_of_its_own(pool: PoolClient, make_request: MakeRequest) -> None:
    @ray.remote(num_cpus=0)
    class Submitter:
        async def submit(self, request: object) -> tuple[int, ...]:
            result = await PoolClient.attach("shared").submit(request, width=2)  # type: ignore[arg-type]
            return result.frames.shape

        async def submit_with(self, client: PoolClient, request: object) -> tuple[int, ...]:
            result = await client.submit(request)  # type: ignore[arg-type]
            return result.frames.shape

    submitter = Submitter.remote()  # type: ignore[attr-defined]
    assert ray.get(submitter.submit.remote(make_request())) == (16, 64, 64, 3)
    assert ray.get(submitter.submit_with.remote(pool, make_request())) == (16, 64, 64, 3)


def test_no_pool_no_handle(ray_session: None) -> None:
    with pytest.raises(ClusterError, match="no pool 'nowhere' runs"):
        PoolClient.attach("nowhere")


def test_a_cluster_that_is_too_small_is_told_within_seconds(ray_session: None, tiny_model: object) -> None:
    begun = time.monotonic()
    with (
        PoolClient.connect(PoolSpec(model=str(tiny_model), workers=500, device="cpu"), name="huge") as client,
        pytest.raises(ClusterError, match="wanted: 500 workers with 1 CPU each, and the cluster has 8 CPU"),
    ):
        client.wait_ready(60)
    assert time.monotonic() - begun < 15


def test_a_pool_ends_with_its_last_client_and_leaves_nothing(ray_session: None, pool_spec: PoolSpec) -> None:
    spec = PoolSpec(model=pool_spec.model, workers=1, device="cpu")
    first = PoolClient.connect(spec, name="short")
    second = PoolClient.connect(spec, name="short")
    first.wait_ready(120)
    pids = [member.pid for member in first.status().members]
    first.close()
    assert second.status().phase == "ready"
    second.close()
    assert [actor for actor in ray.util.list_named_actors(all_namespaces=True) if actor["name"] == "short"] == []
    deadline = time.monotonic() + 5
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(ClusterError, match="the pool is gone"):
        second.status()
