"""A worker as the pool sees it."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ray


@dataclass(eq=False)
class Member:
    """One worker's handle, where it runs, and its place in the placement group."""

    index: int
    """Its number among the pool's."""
    domain: int
    bundle: int
    """Its place in the domain's placement group."""
    handle: Any
    pid: int = 0
    node: str = ""
    loaded: bool = False
    dead: bool = False

    def kill(self) -> None:
        """Kill its process."""
        self.dead = True
        if self.handle is None:
            return
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.kill(self.handle, no_restart=True)


def in_order(members: Iterable[Member]) -> list[Member]:
    """Members of one node side by side, so that a gang spans as few nodes as it can."""
    return sorted(members, key=lambda member: (member.node, member.index))
