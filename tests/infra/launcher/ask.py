"""A driver that reserves a domain on GPUs and waits: `python -m tests.infra.launcher.ask MARKET WORKERS`."""

import asyncio
import sys
from typing import Any

import ray

from cluster.placement import place
from tests.infra.launcher.clusters import domain


def main() -> None:
    market: Any = sys.argv[1]
    ray.init(address="auto", log_to_driver=False)
    asyncio.run(place(domain(int(sys.argv[2])), 600.0, market))


if __name__ == "__main__":
    main()
