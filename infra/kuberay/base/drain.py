"""What a worker's pod does before it ends: Ray is told when it will be gone, and what runs there leaves it.

    python drain.py SECONDS

Returns once the node has left the cluster, or after SECONDS, or at once where nobody can be told.
"""

import os
import socket
import sys
import time
from typing import Any

TELL_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.5


def main(seconds: float) -> None:
    """Drain the node of this pod, which RAY_CLOUD_INSTANCE_ID names, in the cluster at RAY_ADDRESS."""
    end_s = time.monotonic() + seconds
    deadline_ms = int((time.time() + seconds) * 1000)
    address, pod = os.environ["RAY_ADDRESS"], os.environ["RAY_CLOUD_INSTANCE_ID"]
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=TELL_TIMEOUT_S).close()
    except OSError as error:
        print(f"the head at {address} is not there ({error}); nothing to drain")
        return
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason
    from ray.exceptions import RpcError

    try:
        gcs = GcsClient(address=address)
        node = living_node(gcs, pod)
        if node is None:
            print(f"{pod} is no living node of the cluster at {address}; nothing to drain")
            return
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        gcs.drain_node(node, reason, f"pod {pod} ends", deadline_ms, timeout=TELL_TIMEOUT_S)
        while living_node(gcs, pod) and time.monotonic() < end_s:
            time.sleep(LOOK_EVERY_S)
        left = "has left" if living_node(gcs, pod) is None else f"is still there after {seconds:g} s"
        print(f"node {node[:8]} {left}")
    except RpcError as error:
        print(f"the head at {address} has gone ({error}); nothing more to drain")


def living_node(gcs: Any, pod: str) -> str | None:
    """The id of a pod's node in hex; None if it is none or not alive."""
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    for node in gcs.get_all_node_info(timeout=TELL_TIMEOUT_S).values():
        if node.instance_id == pod and node.state == GcsNodeInfo.GcsNodeState.ALIVE:
            return str(node.node_id.hex())
    return None


if __name__ == "__main__":
    main(float(sys.argv[1]))
