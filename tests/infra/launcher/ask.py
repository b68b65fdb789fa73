"""A driver that reserves a domain on GPUs and waits: `python -m tests.infra.launcher.ask ADDRESS MARKET WORKERS`."""

import asyncio
import sys
from typing import Any

import ray

from cluster.placement import place
from tests.infra.launcher.clusters import domain


def main() -> None:
    address, workers = sys.argv[1], int(sys.argv[3])
    market: Any = sys.argv[2]
    ray.init(address=address, log_to_driver=False)
    asyncio.run(place(domain(workers), 600.0, market))


if __name__ == "__main__":
    main()
