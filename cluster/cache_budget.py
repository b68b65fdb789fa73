"""Which kinds are broadcast when the broadcast cache may hold only so many bytes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from cluster.model import ModelNumbers
from cluster.pab import KINDS, Kind, PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from cluster.workload import Workload

COUNTED_BYTES = 2
"""Bytes of an element of what is kept, by which a budget is counted."""


def plan_schedule(
    pab: PabConfig,
    timesteps: Sequence[float],
    numbers: ModelNumbers,
    shape: Shape,
    *,
    branches: Literal[1, 2] = 2,
) -> BroadcastSchedule:
    """The schedule of a run under `pab`, its budget kept.

    Kinds are taken up in the order of the operations that they save for a byte that they hold, as long as all
    together stay within the budget. Bytes are counted at `COUNTED_BYTES` an element, or in 8 bits with their scales,
    in whatever precision a model runs: the precision is not of a sample's identity, so its schedule does not follow
    it.
    """
    whole = BroadcastSchedule.build(pab, timesteps)
    if pab.cache_budget_gb is None:
        return whole
    work = Workload(numbers=numbers, shape=shape, schedule=whole, branches=branches, element_bytes=COUNTED_BYTES)
    chosen: list[Kind] = []
    holding = [kind for kind in _broadcast(work) if _held(work, pab, [kind])]
    for kind in sorted(holding, key=lambda kind: _worth(work, pab, kind), reverse=True):
        if _held(work, pab, [*chosen, kind]) <= pab.cache_budget_gb * 1e9:
            chosen.append(kind)
    return _only(work, pab, chosen).schedule


def _broadcast(work: Workload) -> list[Kind]:
    """The kinds that some step does not compute."""
    computed = work.schedule.computed
    return [kind for kind in KINDS if kind in work.numbers.sites and computed[kind] < work.schedule.num_steps]


def _worth(work: Workload, pab: PabConfig, kind: Kind) -> float:
    """Operations saved for a byte held."""
    saved = (work.schedule.num_steps - work.schedule.computed[kind]) * work.site(kind).flops
    layers = len(pab.mlp.blocks) if kind == "mlp" and pab.mlp else work.numbers.num_layers
    return saved * layers * work.numbers.sites.count(kind) / _held(work, pab, [kind])


def _held(work: Workload, pab: PabConfig, kinds: Sequence[Kind]) -> int:
    """The most bytes that the cache holds with `kinds` broadcast, on all ranks together."""
    return _only(work, pab, kinds).forecast(1).cache_bytes


def _only(work: Workload, pab: PabConfig, kinds: Sequence[Kind]) -> Workload:
    """The same run with only `kinds` broadcast."""
    fewer = replace(
        pab,
        spatial=pab.spatial if "spatial" in kinds else 1,
        temporal=pab.temporal if "temporal" in kinds else 1,
        cross=pab.cross if "cross" in kinds else 1,
        mlp=pab.mlp if "mlp" in kinds else None,
    )
    return replace(work, schedule=BroadcastSchedule.build(fewer, work.schedule.timesteps))
