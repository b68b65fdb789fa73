"""Temporary."""

from dataclasses import dataclass
from typing import Literal

from cluster.placement import Market


@dataclass(frozen=True, kw_only=True)
class ScalePolicy:
    max_workers: int
    min_workers: int
    domain_workers: int
    idle_release_s: float = 60.0
    backlog_s: float = 120.0
    budget_gpu_hours: float | None = None
    spot: bool = False
    spot_timeout_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Backlog:
    requests: int
    worker_seconds: float
    widest: int


@dataclass(frozen=True, kw_only=True)
class DomainView:
    name: int
    workers: int
    phase: Literal["pending", "starting", "ready", "draining"]
    market: Market
    age_s: float
    idle_s: float


@dataclass(frozen=True, kw_only=True)
class ScaleDecision:
    ask: tuple[Market, ...]
    release: tuple[int, ...]
    reason: str


def scale(policy, backlog, domains, spent):
    have = sum(d.workers for d in domains if d.phase != "draining")
    n = max(0, (policy.min_workers - have) // policy.domain_workers)
    return ScaleDecision(ask=("any",) * n, release=(), reason="tmp")
