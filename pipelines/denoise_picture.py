"""Seconds of the ways to denoise as bars, with how many times as fast each is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

from cluster.errors import StoreError

COLOURS = {"diffusers": "#9a9a95", "compiled": "#1f5a94"}
"""By what a variant's name begins with."""
PLAIN = "#9fc0de"
"""Of the others: ours as it is written."""
_INK = "#222222"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One variant."""

    name: str
    seconds: float
    ratio: float | None
    """Of the alternative's seconds to these; None without one."""


def colour_of(name: str) -> str:
    """The colour of a variant's bar."""
    return next((colour for start, colour in COLOURS.items() if name.startswith(start)), PLAIN)


def draw_seconds(bars: Sequence[Bar], legend: str, title: str, path: Path) -> None:
    """Draw the bars to the image file `path`, whose suffix says the format; `legend` says what a ratio is."""
    figure = Figure(figsize=(8, 1.3 + 0.42 * len(bars)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    longest = max(bar.seconds for bar in bars)
    for row, bar in enumerate(bars):
        axes.barh(row, bar.seconds, height=0.72, color=colour_of(bar.name))
        label = f"{bar.seconds:.3g} s" + ("" if bar.ratio is None else f", {bar.ratio:.2f}×")
        axes.text(bar.seconds + 0.01 * longest, row, label, va="center", fontsize=8, color=_INK)
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars], fontsize=9)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, longest * 1.22)
    with_ratio = any(bar.ratio is not None for bar in bars)
    axes.set_xlabel("seconds of the denoising loop" + (f"; ×: {legend}" if with_ratio else ""), fontsize=8, color=_INK)
    axes.tick_params(length=0, labelsize=8, colors=_INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.suptitle(title, fontsize=10, color=_INK)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be drawn: {error}") from error
