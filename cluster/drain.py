"""Which nodes are about to go. Ray has no public question for it: its Data, Serve and Train read the same private one.

The only module that knows of it; `pyproject.toml` pins the minor version of Ray for its sake.
"""

import math
import time

import ray


def draining_nodes() -> dict[str, float]:
    """The nodes being drained, by their hex id: seconds left until they are killed, infinite where nobody said.

    Running calls go on there; actors that are started there hang. Idle nodes that the autoscaler takes away are among
    them for a moment. Who drains a node sets its deadline by its own clock, so that a difference of clocks counts.

    Raises:
        ray.exceptions.RaySystemError: this process is not connected to a cluster.
    """
    deadlines_ms: dict[str, int] = ray._private.state.state.get_draining_nodes()
    now_s = time.time()
    return {
        node: max(deadline_ms / 1000 - now_s, 0.0) if deadline_ms else math.inf
        for node, deadline_ms in deadlines_ms.items()
    }
