"""What the workers of a domain need of a cluster."""

from dataclasses import dataclass
from typing import Literal

Resources = dict[str, float]
Market = Literal["any", "spot", "on_demand"]
"""What kind of nodes a domain is asked from."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """`workers` equal bundles of resources that belong together."""

    workers: int
    bundle: tuple[tuple[str, float], ...]

    @property
    def total(self) -> Resources:
        """What all bundles take together."""
        return {name: amount * self.workers for name, amount in self.bundle}

    def __str__(self) -> str:
        bundle = " + ".join(f"{amount:g} {name}" for name, amount in self.bundle)
        return f"1 worker with {bundle}" if self.workers == 1 else f"{self.workers} workers with {bundle} each"
