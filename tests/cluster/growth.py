"""A driver that places domains as it is told: `python -m tests.cluster.growth`, one command a line, one answer a line.

place MARKET WORKERS TIMEOUT_S    placed NODE | refused SENTENCE
release                           released
draining                          draining {NODE: SECONDS}
"""

import asyncio
import json
import sys
from typing import Any

import ray
from ray.util.placement_group import placement_group_table

from cluster import placement
from cluster.demand import Demand
from cluster.drain import draining_nodes
from cluster.errors import ClusterError


class Grower:
    def __init__(self) -> None:
        self.group: Any = None

    def place(self, market: Any, workers: str, timeout_s: str) -> str:
        demand = Demand(workers=int(workers), bundle=(("CPU", 1.0),))
        try:
            self.group = asyncio.run(placement.place(demand, float(timeout_s), market))
        except ClusterError as error:
            return f"refused {error}"
        table = placement_group_table(self.group)
        return " ".join(["placed", *set(table["bundles_to_node_id"].values())])

    def release(self) -> str:
        placement.release(self.group)
        return "released"

    def draining(self) -> str:
        return f"draining {json.dumps(draining_nodes())}"


def main() -> None:
    ray.init(log_to_driver=False)
    grower = Grower()
    for line in sys.stdin:
        command, *arguments = line.split()
        print(getattr(grower, command)(*arguments), flush=True)


if __name__ == "__main__":
    main()
