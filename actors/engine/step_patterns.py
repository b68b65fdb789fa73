"""Steps that are alike: what they compute, and what of it they keep."""

from collections import Counter
from dataclasses import dataclass

from cluster.model import ModelNumbers
from cluster.pab import KINDS, Kind
from cluster.schedule import BroadcastSchedule


@dataclass(frozen=True)
class StepPattern:
    """One step as a schedule has it."""

    computes: frozenset[Kind]
    next_computes: frozenset[Kind]
    """What the step after it computes: by that, outputs are stored, kept on or freed."""

    @classmethod
    def of(cls, schedule: BroadcastSchedule, step: int, numbers: ModelNumbers) -> "StepPattern":
        """That of `step`, of the kinds that a model has."""
        kinds = frozenset(kind for kind in KINDS if kind in numbers.sites)
        following = kinds
        if step + 1 < schedule.num_steps:
            following = frozenset(kind for kind in kinds if schedule.table[kind][step + 1])
        return cls(frozenset(kind for kind in kinds if schedule.table[kind][step]), following)

    def alone(self, schedule: BroadcastSchedule, step: int) -> BroadcastSchedule:
        """A run of three steps of which the middle one is like `step` of `schedule`; the first computes everything."""
        table = {kind: (True, kind in self.computes, kind in self.next_computes) for kind in KINDS}
        return BroadcastSchedule(
            timesteps=(schedule.timesteps[step],) * 3,
            table=table,
            mlp_blocks=schedule.mlp_blocks,
            cache_dtype=schedule.cache_dtype,
        )


def step_patterns(schedule: BroadcastSchedule, numbers: ModelNumbers) -> Counter[StepPattern]:
    """How many steps of a run are alike, in the order in which they first come."""
    return Counter(StepPattern.of(schedule, step, numbers) for step in range(schedule.num_steps))


def first_step(pattern: StepPattern, schedule: BroadcastSchedule, numbers: ModelNumbers) -> int:
    """The first step that is like that."""
    return next(s for s in range(schedule.num_steps) if StepPattern.of(schedule, s, numbers) == pattern)


def count_graphs(schedule: BroadcastSchedule, numbers: ModelNumbers) -> int:
    """Graphs that a run's blocks are compiled to: of each kind of block one for each of what it computes and stores."""
    graphs = {
        (place, tuple((schedule.computes(kind, step, layer), schedule.stores(kind, step, layer)) for kind in kinds))
        for place, kinds in enumerate(numbers.blocks)
        for step in range(schedule.num_steps)
        for layer in range(numbers.num_layers)
    }
    return len(graphs)
