"""Drains the node of a pool's workers in mid-video, twice: `python -m tests.actors.drained_node ADDRESS MODEL`.

In a cluster that can add nodes for the pool's only domain. A line of JSON tells what became of each video, of its
domain and of its node, and after how many seconds.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import ray
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
from ray.util.placement_group import placement_group_table

from actors.engine import RunOptions, VideoRequest
from actors.pool_client import PoolClient
from actors.result import VideoResult
from actors.spec import PoolSpec
from actors.status import PoolStatus
from cluster.autoscaler import ScalePolicy
from cluster.pab import PabConfig
from cluster.placement import living_nodes

MARGIN_S = 15.0
POLICY = ScalePolicy(max_workers=2, min_workers=2, domain_workers=2)
OPTIONS = RunOptions(snapshot_every=4, return_latents=True)
PAB246 = PabConfig(spatial=2, temporal=4, cross=6, window=(0.1, 0.9))
SHAPE = {"height": 64, "width": 64, "num_frames": 16, "guidance_scale": 3.0}
TIMEOUT_S = 150


class Scene:
    """A video of so many steps, whose node is drained after a tenth of them."""

    def __init__(self, pool: PoolClient, model: str, steps: int) -> None:
        self._pool = pool
        self._steps = steps
        self._request = VideoRequest(
            prompt="a", seed=1, steps=steps, pab=PAB246, model=model, model_revision="tiny", **SHAPE
        )
        self._moving = asyncio.Event()

    async def make(self) -> VideoResult:
        return await self._pool.submit(self._request, width=2, options=OPTIONS, on_progress=self._see)

    async def drain_in_the_midst(self, address: str, deadline_s: int) -> tuple[VideoResult, dict[str, Any]]:
        before = await self._status()
        (home,) = {member.node for member in before.members}
        self._moving.clear()
        video = asyncio.ensure_future(self.make())
        await asyncio.wait_for(self._moving.wait(), 60)
        drained_s = time.monotonic()
        drain(address, home, deadline_s)
        seconds: dict[str, float] = {}
        async with asyncio.timeout(TIMEOUT_S):
            async for event in self._events(video, home, before):
                seconds.setdefault(event, round(time.monotonic() - drained_s, 1))
        result, after = video.result(), await self._status()
        told = {
            "handed_over": after.handed_over - before.handed_over,
            "first_step": result.report.first_step,
            "domains": len(after.domains),
            "home_again": home in {member.node for member in after.members},
            "seconds": seconds,
        }
        return result, told

    def _see(self, done: int) -> None:
        if done >= self._steps // 10:
            self._moving.set()

    async def _events(self, video: "asyncio.Future[VideoResult]", home: str, before: PoolStatus) -> AsyncIterator[str]:
        """What has happened, each again and again, until all has."""
        there, replaced = True, False
        while there or not replaced or not video.done():
            await asyncio.sleep(0.1)
            status = await self._status()
            if any(domain.phase == "draining" for domain in status.domains):
                yield "draining"
            if status.handed_over > before.handed_over:
                yield "left"
            replaced = any(
                domain.phase == "ready" and domain.name != before.domains[0].name for domain in status.domains
            )
            if replaced:
                yield "replaced"
            if video.done():
                yield "ended"
            if home not in await asyncio.to_thread(nodes_with_bundles):
                yield "given_back"
            there = home in await asyncio.to_thread(living_nodes)
            if not there:
                yield "node_gone"

    async def _status(self) -> PoolStatus:
        return await asyncio.to_thread(self._pool.status)


def drain(address: str, node_id: str, deadline_s: int) -> None:
    """What the hidden `ray drain-node` does, which takes seconds to start."""
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int(time.time() * 1000) + deadline_s * 1000
    accepted, why = ray._raylet.GcsClient(address=address).drain_node(node_id, reason, "a test's", deadline_ms)
    assert accepted, why


def nodes_with_bundles() -> set[str]:
    groups = [group for group in placement_group_table().values() if group["state"] != "REMOVED"]
    return {node for group in groups for node in group["bundles_to_node_id"].values()}


async def play(address: str, pool: PoolClient, model: str) -> None:
    _, told = await Scene(pool, model, steps=400).drain_in_the_midst(address, deadline_s=60)
    print(json.dumps({"video": "short", **told}), flush=True)
    long = Scene(pool, model, steps=1000)
    undisturbed = await long.make()
    moved, told = await long.drain_in_the_midst(address, deadline_s=20)
    identical = np.array_equal(moved.latents, undisturbed.latents) and np.array_equal(moved.frames, undisturbed.frames)
    print(json.dumps({"video": "long", "identical": identical, **told}), flush=True)


def main(address: str, model: str) -> None:
    ray.init(address=address, log_to_driver=False)
    spec = PoolSpec(
        model=model, workers=2, device="cpu", threads_per_worker=1, elastic=POLICY, handover_margin_s=MARGIN_S
    )
    with PoolClient.connect(spec) as pool:
        pool.wait_ready(120)
        asyncio.run(play(address, pool, model))


if __name__ == "__main__":
    main(*sys.argv[1:])
