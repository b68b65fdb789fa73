"""A broadcast schedule as text for the terminal."""

from collections.abc import Sequence

from cluster.pab import Kind
from cluster.schedule import BroadcastSchedule

COMPUTE, BROADCAST = "█", "·"
_CHUNK = 60
_TICK = 10


def shown_kinds(schedule: BroadcastSchedule, kinds: Sequence[Kind]) -> list[Kind]:
    """The model's kinds of attention, and mlp where some of it is reused."""
    return [*kinds, *(["mlp"] if schedule.mlp_blocks and "mlp" not in kinds else [])]  # type: ignore[list-item]


def spell_schedule(schedule: BroadcastSchedule, kinds: Sequence[Kind]) -> str:
    """The table, one row a kind and one character a step; long runs are broken into lines of 60 steps."""
    lines = [f"{COMPUTE} computes, {BROADCAST} broadcasts what an earlier step computed"]
    shown = shown_kinds(schedule, kinds)
    for start in range(0, schedule.num_steps, _CHUNK):
        steps = range(start, min(start + _CHUNK, schedule.num_steps))
        lines.append(f"{'timestep':<9} {_ticks(schedule, steps)}")
        for kind in shown:
            row = "".join(COMPUTE if schedule.table[kind][step] else BROADCAST for step in steps)
            lines.append(f"{kind:<9} {row}")
    for kind in shown:
        count = schedule.computed[kind]
        lines.append(f"{kind:<9} computes in {count} of {schedule.num_steps} steps ({count / schedule.num_steps:.0%})")
    return "\n".join(lines)


def _ticks(schedule: BroadcastSchedule, steps: range) -> str:
    ticks = (f"{round(schedule.timesteps[step]):<{_TICK}}" for step in steps if step % _TICK == 0)
    return "".join(ticks).rstrip()
