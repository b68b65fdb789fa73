"""How many workers a pool should have: which domains to ask for and which to give back.

A policy without a clock or Ray: whoever calls it carries its decision out, and from then on lists what it asked for
as pending and what it released as draining (or not at all). Then a decision leaves nothing to do for the next one,
until something has changed: what is released is never missed, because both follow from the same question, `met_by`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cluster.demand import Market
from cluster.errors import ConfigError

Phase = Literal["pending", "starting", "ready", "draining"]
"""Of a domain: asked for; its workers load the model; they work; they end what they do and go."""
SETTLE_S = 10.0
"""A request for a domain stands for at least so long, so that a queue empty for a moment does not take it back."""


@dataclass(frozen=True, kw_only=True)
class ScalePolicy:
    """Limits and goals of a pool's size; times in seconds.

    Raises:
        ConfigError: numbers that cannot work.
    """

    max_workers: int
    """Never more than so many, domains that are draining not counted."""
    min_workers: int
    """Never fewer, also with nothing to do, until the budget is spent."""
    domain_workers: int
    """Workers of one domain, which is one placement group; the pool grows by whole domains."""
    idle_release_s: float = 60.0
    """A domain without a request for so long may go."""
    backlog_s: float = 120.0
    """Grow until all that waits and runs is predicted to be done in so many seconds."""
    budget_gpu_hours: float | None = None
    """Once the pool has used so much nothing more starts; None: no limit."""
    spot: bool = False
    """Ask for spot nodes first."""
    spot_timeout_s: float = 120.0
    """On-demand nodes are asked for in place of spot nodes that do not come for so long."""

    def __post_init__(self) -> None:
        for name, least in (("max_workers", 1), ("min_workers", 0), ("domain_workers", 1), ("idle_release_s", 0)):
            if getattr(self, name) < least:
                key = "workers" if name == "max_workers" else name
                raise ConfigError(f"cluster.{key} is {getattr(self, name):g}; it must be {least} or more")
        for name in ("backlog_s", "budget_gpu_hours", "spot_timeout_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"cluster.{name} is {value:g}; it must be more than 0")
        if self.min_workers > self.max_workers:
            raise ConfigError(
                f"cluster.min_workers is {self.min_workers} and cluster.workers {self.max_workers}; "
                f"use a cluster.min_workers of at most {self.max_workers} or a higher cluster.workers"
            )
        if self.domain_workers > self.max_workers:
            raise ConfigError(
                f"cluster.domain_workers is {self.domain_workers} and cluster.workers {self.max_workers}, so that "
                f"not one domain fits; use a cluster.domain_workers of at most {self.max_workers}"
            )
        domains = self.max_workers // self.domain_workers
        if self.min_workers > domains * self.domain_workers:
            raise ConfigError(
                f"cluster.workers {self.max_workers} holds {domains} domains of cluster.domain_workers "
                f"{self.domain_workers}, which is {domains * self.domain_workers} workers, and cluster.min_workers is "
                f"{self.min_workers}; use a cluster.workers of {(domains + 1) * self.domain_workers}"
            )


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What waits and what runs."""

    requests: int
    worker_seconds: float
    """Predicted seconds still to go times width, summed; 0 where nothing is predicted, which counts as one worker
    a request."""
    widest: int
    """Workers that the widest of them needs; 0 without requests."""


@dataclass(frozen=True, kw_only=True)
class DomainView:
    """A domain as the policy sees it."""

    name: int
    workers: int
    phase: Phase
    market: Market
    age_s: float
    """Since it was asked for."""
    idle_s: float
    """Since its last request ended, or since it is ready; 0 while it is busy."""


@dataclass(frozen=True, kw_only=True)
class ScaleDecision:
    """Release these domains, then ask for one domain from each of these markets."""

    ask: tuple[Market, ...] = ()
    release: tuple[int, ...] = ()
    spent: bool = False
    """Whether the budget is, so that nothing may start any more."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Goal:
    """What the pool should consist of."""

    workers: int
    widest: int
    """Workers that some one domain must have."""
    reason: str

    def met_by(self, domains: Iterable[DomainView]) -> bool:
        sizes = [domain.workers for domain in domains]
        return sum(sizes) >= self.workers and max(sizes, default=0) >= self.widest


def scale(
    policy: ScalePolicy, backlog: Backlog, domains: Iterable[DomainView], spent_gpu_seconds: float
) -> ScaleDecision:
    """Decide what to ask for and what to release, so that the pool suits its backlog.

    A spent budget goes before everything: then nothing is asked for, and only what is busy stays.
    """
    held = [domain for domain in domains if domain.phase != "draining"]
    if policy.budget_gpu_hours is not None and spent_gpu_seconds >= policy.budget_gpu_hours * 3600:
        return _without_budget(policy.budget_gpu_hours, held, spent_gpu_seconds)
    goal = _goal(policy, backlog)
    kept, spare = _part(held, goal, policy, backlog)
    late = [domain for domain in kept if _is_late(domain, policy)]
    kept = [domain for domain in kept if domain not in late]
    count = _lacking(goal, kept, policy)
    # Spot nodes that have just not come will not come a second later either.
    market: Market = "any" if not policy.spot else "on_demand" if late else "spot"
    return ScaleDecision(
        ask=(market,) * count,
        release=tuple(domain.name for domain in (*spare, *late)),
        reason=_sentence(goal, held, spare, late, (market,) * count),
    )


def _without_budget(budget_gpu_hours: float, held: list[DomainView], spent_gpu_seconds: float) -> ScaleDecision:
    busy = [domain for domain in held if domain.phase == "ready" and domain.idle_s <= 0]
    return ScaleDecision(
        release=tuple(domain.name for domain in held if domain not in busy),
        spent=True,
        reason=f"the budget is spent: {spent_gpu_seconds / 3600:.4g} of {budget_gpu_hours:g} GPU-hours "
        "(of workers that are held, from their first second on)",
    )


def _goal(policy: ScalePolicy, backlog: Backlog) -> _Goal:
    """The workers that end the backlog in time, within what can be busy at all and what is allowed."""
    if backlog.requests == 0:
        return _Goal(workers=policy.min_workers, widest=0, reason="nothing waits or runs")
    widest = max(backlog.widest, 1)
    in_time = math.ceil(backlog.worker_seconds / policy.backlog_s) or backlog.requests
    useful = min(max(in_time, widest), backlog.requests * widest)
    length = f"{backlog.worker_seconds:.0f} worker-seconds" if backlog.worker_seconds else "unknown length"
    limit = f", of which {policy.max_workers} are allowed" if useful > policy.max_workers else ""
    return _Goal(
        workers=max(min(useful, policy.max_workers), policy.min_workers),
        # A wider request than a domain can ever have is not a reason to ask for more of them.
        widest=widest if widest <= policy.domain_workers else 0,
        reason=f"{_count(backlog.requests, 'request')} of {length}: {useful} workers for {policy.backlog_s:g} s{limit}",
    )


def _part(
    held: list[DomainView], goal: _Goal, policy: ScalePolicy, backlog: Backlog
) -> tuple[list[DomainView], list[DomainView]]:
    """Which domains stay and which may go: those idle for longest first, while the rest meets the goal."""
    kept, spare = list(held), []
    for domain in sorted(held, key=lambda domain: (domain.phase != "pending", -domain.idle_s)):
        unused = domain.phase == "ready" and 0 < domain.idle_s >= policy.idle_release_s
        unneeded = domain.phase == "pending" and backlog.requests == 0 and domain.age_s >= SETTLE_S
        rest = [other for other in kept if other != domain]
        if (unused or unneeded) and goal.met_by(rest):
            kept = rest
            spare.append(domain)
    return kept, spare


def _is_late(domain: DomainView, policy: ScalePolicy) -> bool:
    return domain.phase == "pending" and domain.market == "spot" and domain.age_s > policy.spot_timeout_s


def _lacking(goal: _Goal, kept: list[DomainView], policy: ScalePolicy) -> int:
    """Domains to ask for: what the goal lacks, as far as there is room."""
    if goal.met_by(kept):
        return 0
    workers = sum(domain.workers for domain in kept)
    room = max(policy.max_workers - workers, 0) // policy.domain_workers
    return min(max(math.ceil((goal.workers - workers) / policy.domain_workers), 1), room)


def _sentence(
    goal: _Goal, held: list[DomainView], spare: list[DomainView], late: list[DomainView], ask: tuple[Market, ...]
) -> str:
    done = []
    if spare:
        done.append(f"release {_count(len(spare), 'domain')} no longer needed")
    if late:
        done.append(f"give up {_count(len(late), 'spot domain')} that did not come")
    if ask:
        kind = "" if ask[0] == "any" else "on-demand " if ask[0] == "on_demand" else "spot "
        done.append(f"ask for {_count(len(ask), f'{kind}domain')}")
    workers = sum(domain.workers for domain in held)
    return f"{goal.reason}; {goal.workers} wanted, {workers} held: {', '.join(done) or 'nothing to do'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
