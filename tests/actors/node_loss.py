"""Loses the node of a pool's workers in mid-video: `python -m tests.actors.node_loss MODEL`.

A cluster of its own: a head without CPUs and two nodes of two, each able to hold the pool's two workers.
"""

import asyncio
import sys
import time

import ray
from ray.cluster_utils import Cluster

from actors.engine import VideoRequest
from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from cluster.errors import GangError


async def lose_a_node(cluster: Cluster, nodes: list[object], pool: PoolClient, model: str) -> None:
    shape = {"height": 64, "width": 64, "num_frames": 16}
    request = VideoRequest(prompt="a", steps=1000, guidance_scale=3.0, model=model, model_revision="tiny", **shape)
    video = asyncio.ensure_future(pool.submit(request, width=2))
    while (await asyncio.to_thread(pool.status)).busy_workers < 2:
        await asyncio.sleep(0.1)
    (home,) = {member.node for member in (await asyncio.to_thread(pool.status)).members}
    (node,) = (node for node in nodes if node.node_id == home)  # type: ignore[attr-defined]
    begun = time.monotonic()
    await asyncio.to_thread(cluster.remove_node, node, False)
    try:
        await video
    except GangError as error:
        print(f"told {time.monotonic() - begun:.1f} {error}", flush=True)
    request = VideoRequest(prompt="a", steps=4, guidance_scale=3.0, model=model, model_revision="tiny", **shape)
    result = await pool.submit(request, width=2)
    print(f"again {time.monotonic() - begun:.1f} {result.width}", flush=True)


def main(model: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(address=cluster.address, log_to_driver=False)
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    with PoolClient.connect(PoolSpec(model=model, workers=2, device="cpu", threads_per_worker=1)) as pool:
        pool.wait_ready(120)
        asyncio.run(lose_a_node(cluster, nodes, pool, model))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
