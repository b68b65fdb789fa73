"""Pools and backlogs for tests of the autoscaler."""

from dataclasses import replace

from cluster.autoscaler import Backlog, DomainView, Phase, ScaleDecision, ScalePolicy, scale
from cluster.demand import Market

POLICY = ScalePolicy(max_workers=8, min_workers=0, domain_workers=2)
NOTHING = Backlog(requests=0, worker_seconds=0.0, widest=0)
SPOT = replace(POLICY, spot=True)


def backlog(requests: int, worker_seconds: float = 0.0, widest: int = 1) -> Backlog:
    return Backlog(requests=requests, worker_seconds=worker_seconds, widest=widest)


def domain(
    name: int,
    phase: Phase = "ready",
    idle_s: float = 0.0,
    age_s: float = 1000.0,
    market: Market = "any",
    workers: int = 2,
) -> DomainView:
    return DomainView(name=name, workers=workers, phase=phase, market=market, age_s=age_s, idle_s=idle_s)


def decide(backlog: Backlog, *domains: DomainView, policy: ScalePolicy = POLICY, spent: float = 0.0) -> ScaleDecision:
    return scale(policy, backlog, domains, spent)
