"""A broadcast schedule as a picture: steps across, kinds down, computed cells dark."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from cluster.errors import StoreError
from cluster.pab import Kind
from cluster.schedule import BroadcastSchedule
from pipelines.schedule_table import shown_kinds

COLOURS: dict[Kind, str] = {"spatial": "#1f5a94", "temporal": "#b5541c", "cross": "#2c7a4b", "mlp": "#6b4c9a"}
_PALE = "#e9e9e6"
_INK = "#222222"


def draw_schedule(schedule: BroadcastSchedule, kinds: Sequence[Kind], title: str, path: Path) -> None:
    """Draw the table to the image file `path`; its suffix says the format."""
    shown = shown_kinds(schedule, kinds)
    figure = Figure(figsize=(_width(schedule.num_steps), 1.5 + 0.42 * len(shown)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for row, kind in enumerate(shown):
        _draw_row(axes, schedule, kind, row)
    _label(axes, schedule, shown)
    figure.suptitle(title, fontsize=10, color=_INK)
    legend = [Patch(color="#777777", label="computes"), Patch(color=_PALE, label="broadcasts")]
    figure.legend(handles=legend, loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be drawn: {error}") from error


def _width(num_steps: int) -> float:
    return min(max(6.0, 2.4 + 0.2 * num_steps), 16.0)


def _draw_row(axes: Axes, schedule: BroadcastSchedule, kind: Kind, row: int) -> None:
    for step, computes in enumerate(schedule.table[kind]):
        colour = COLOURS[kind] if computes else _PALE
        axes.add_patch(Rectangle((step + 0.06, row + 0.12), 0.88, 0.76, facecolor=colour, linewidth=0))
    count = schedule.computed[kind]
    share = f"{count} of {schedule.num_steps}, {count / schedule.num_steps:.0%}"
    axes.text(schedule.num_steps + 0.4, row + 0.5, share, va="center", fontsize=8, color=COLOURS[kind])


def _label(axes: Axes, schedule: BroadcastSchedule, shown: Sequence[Kind]) -> None:
    every = max(1, -(-schedule.num_steps // 10))
    ticks = list(range(0, schedule.num_steps, every))
    axes.set_xlim(0, schedule.num_steps)
    axes.set_ylim(len(shown), 0)
    axes.set_yticks([row + 0.5 for row in range(len(shown))], [str(kind) for kind in shown], fontsize=9)
    axes.set_xticks([step + 0.5 for step in ticks], [f"{schedule.timesteps[step]:.0f}" for step in ticks], fontsize=8)
    axes.set_xlabel("timestep", fontsize=8)
    top = axes.secondary_xaxis("top")
    top.set_xticks([step + 0.5 for step in ticks], [str(step) for step in ticks], fontsize=8)
    top.set_xlabel("step", fontsize=8)
    for axis in (axes, top):
        axis.tick_params(length=0, colors=_INK)
        for spine in axis.spines.values():
            spine.set_visible(False)
