"""The broadcast schedule: which kinds compute at which step, known before the first step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cluster.errors import ConfigError
from cluster.pab import KINDS, CacheDtype, Kind, PabConfig


@dataclass(frozen=True, kw_only=True)
class BroadcastSchedule:
    """A frozen table, steps x kind -> compute (True) or broadcast (False).

    The phase is anchored to the run's first step, as in the authors' code: inside the window a step
    broadcasts unless ``step % range == 0``; a computed output refreshes the cache wherever it happens.
    """

    timesteps: tuple[float, ...]
    """The sampler's timesteps, first step first (0..1000)."""
    table: Mapping[Kind, tuple[bool, ...]]
    """A row of one flag a step for each kind."""
    mlp_blocks: frozenset[int] = frozenset()
    """The layers that the row `mlp` speaks of; all others compute theirs at every step."""
    cache_dtype: CacheDtype = "auto"
    """How what is broadcast is kept."""

    @classmethod
    def build(cls, pab: PabConfig, timesteps: Sequence[float]) -> "BroadcastSchedule":
        """Build the table for `pab` over a sampler's `timesteps` (descending, 0..1000)."""
        times = tuple(float(t) for t in timesteps)
        if not times:
            raise ConfigError("a schedule needs at least one step")
        table: dict[Kind, tuple[bool, ...]] = {
            "spatial": _ranges(pab.spatial, pab, times),
            "temporal": _ranges(pab.temporal, pab, times),
            "cross": _ranges(pab.cross, pab, times),
            "mlp": _mlp(pab, times),
        }
        blocks = frozenset(pab.mlp.blocks) if pab.mlp else frozenset()
        return cls(timesteps=times, table=table, mlp_blocks=blocks, cache_dtype=pab.cache_dtype)

    @property
    def num_steps(self) -> int:
        """How many steps the run has."""
        return len(self.timesteps)

    def computes(self, kind: Kind, step: int, block: int = 0) -> bool:
        """Whether `kind` computes at `step` in layer `block`; False is a broadcast."""
        return self._always(kind, block) or self.table[kind][step]

    def stores(self, kind: Kind, step: int, block: int = 0) -> bool:
        """Whether the output computed at `step` is read by a later step."""
        return self.computes(kind, step, block) and not self._computes_next(kind, step, block)

    def frees(self, kind: Kind, step: int, block: int = 0) -> bool:
        """Whether the broadcast at `step` is the last read of what is stored."""
        return not self.computes(kind, step, block) and self._computes_next(kind, step, block)

    def holds(self, kind: Kind, step: int, block: int = 0) -> bool:
        """Whether an output is in the cache while `step` runs, just stored or about to be read."""
        return self.stores(kind, step, block) or not self.computes(kind, step, block)

    @property
    def computed(self) -> dict[Kind, int]:
        """How many steps compute each kind."""
        return {kind: sum(self.table[kind]) for kind in KINDS}

    @property
    def full_steps(self) -> tuple[int, ...]:
        """The steps at which every kind computes: there the latents alone are a complete state."""
        rows = list(self.table.values())
        return tuple(step for step in range(self.num_steps) if all(row[step] for row in rows))

    def snapshot_steps(self, apart: int) -> tuple[int, ...]:
        """The full steps, but the first, that are at least `apart` steps from one another and from the start."""
        chosen: list[int] = []
        for step in self.full_steps:
            if step - (chosen[-1] if chosen else 0) >= apart:
                chosen.append(step)
        return tuple(chosen)

    def _always(self, kind: Kind, block: int) -> bool:
        return kind == "mlp" and block not in self.mlp_blocks

    def _computes_next(self, kind: Kind, step: int, block: int) -> bool:
        return step + 1 >= self.num_steps or self.computes(kind, step + 1, block)


def _inside(pab: PabConfig, times: tuple[float, ...], step: int) -> bool:
    if pab.timesteps:
        return pab.timesteps[0] < times[step] < pab.timesteps[1]
    if pab.window:
        return pab.window[0] <= step / len(times) < pab.window[1]
    return True


def _ranges(range_: int, pab: PabConfig, times: tuple[float, ...]) -> tuple[bool, ...]:
    return tuple(step % range_ == 0 or not _inside(pab, times, step) for step in range(len(times)))


def _mlp(pab: PabConfig, times: tuple[float, ...]) -> tuple[bool, ...]:
    """Compute at the first step at or below each start, broadcast the next `steps` ones."""
    row = [True] * len(times)
    if pab.mlp is None:
        return tuple(row)
    firsts = {0} if times[0] <= max(pab.mlp.starts, default=-1) else set()
    for step, (before, now) in enumerate(pairwise(times), start=1):
        if any(now <= start < before for start in pab.mlp.starts):
            firsts.add(step)
    for first in sorted(firsts):
        for step in range(first + 1, min(first + 1 + pab.mlp.steps, len(times))):
            row[step] = step in firsts
    return tuple(row)
