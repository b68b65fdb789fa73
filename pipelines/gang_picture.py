"""Gangs over time: a panel a variant, a row a worker, every video as a bar as high as its gang is wide."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from cluster.errors import StoreError
from pipelines.gang_seats import Bar, runs_of, seat_bars

COLOURS = ("#9fc0de", "#e0913f", "#8a6bb1", "#2c7a4b", "#b33a4b", "#6b6b6b", "#c8a415", "#1f3f6e")
"""By width, from 1 on; beyond, they come again."""
_INK = "#222222"
_SOON_S = 0.3
"""A video that is seen wider so soon began so."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The pool at a moment of a round, in seconds from its start."""

    at_s: float
    busy: tuple[int, ...]
    """The widths of the gangs with a video."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A video as its submitter saw it, in seconds from the start of the round."""

    number: int
    offered: int
    """The width that was asked for."""
    width: int
    """That of the gang that ended it."""
    start_s: float
    end_s: float
    moved_s: float | None = None
    """When its last gang began with it, if others had it before."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A variant's round."""

    title: str
    seconds: float
    bars: tuple[Bar, ...]


def bars_of(spans: Sequence[Span], looks: Sequence[Look]) -> tuple[Bar, ...]:
    """The videos gang by gang.

    A submitter hears of a video's last gang alone. What it had before is what the busy gangs that were seen leave
    over, when those of the videos with known widths are taken away.
    """
    tracks: dict[int, list[tuple[float, int]]] = {
        span.number: [(span.start_s, span.offered)] if span.moved_s is not None else [(span.start_s, span.width)]
        for span in spans
    }
    for look in looks:
        running = [span for span in spans if span.start_s <= look.at_s < span.end_s]
        known = [span for span in running if span.moved_s is None or look.at_s >= span.moved_s]
        unknown = sorted((span for span in running if span not in known), key=lambda span: tracks[span.number][-1][1])
        left = sorted((Counter(look.busy) - Counter(span.width for span in known)).elements())
        if len(left) == len(unknown):
            for span, width in zip(unknown, left, strict=True):
                _note(tracks[span.number], look.at_s, width)
    return tuple(sorted((bar for span in spans for bar in _bars(span, tracks[span.number])), key=_by_start))


def draw_gangs(panels: Sequence[Panel], workers: int, title: str, path: Path) -> None:
    """Draw the rounds, all on one scale, to the image file `path`; its suffix says the format."""
    height = 0.9 + len(panels) * (0.55 + min(0.24 * workers, 3.0))
    figure = Figure(figsize=(11, height), dpi=150, layout="constrained")
    longest = max(panel.seconds for panel in panels)
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, place)
        _draw_panel(axes, panel, workers, longest)
        if place == len(panels):
            axes.set_xlabel("seconds", fontsize=8, color=_INK)
        else:
            axes.tick_params(labelbottom=False)
    figure.suptitle(title, fontsize=10, color=_INK)
    widths = sorted({bar.width for panel in panels for bar in panel.bars})
    legend = [Patch(color=colour_of(width), label=f"gang of {width}") for width in widths]
    figure.legend(handles=legend, loc="outside lower right", ncols=len(legend), frameon=False, fontsize=8)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be drawn: {error}") from error


def colour_of(width: int) -> str:
    """The colour of gangs of `width`."""
    return COLOURS[(width - 1) % len(COLOURS)]


def _note(track: list[tuple[float, int]], at_s: float, width: int) -> None:
    before = track[-1][1]
    if len(track) == 1 and width > before and at_s - track[0][0] < _SOON_S:
        track[0] = (track[0][0], width)  # it started wide
    elif width > before:
        track.append((at_s, width))


def _bars(span: Span, track: list[tuple[float, int]]) -> Iterator[Bar]:
    if span.moved_s is not None:
        moved = span.moved_s
        track = [(start, width) for start, width in track if start < moved and width < span.width]
        track = [*track, (moved, span.width)] if track else [(span.start_s, span.width)]
    ends = [start for start, _ in track[1:]] + [span.end_s]
    for (start, width), end in zip(track, ends, strict=True):
        yield Bar(number=span.number, width=width, start_s=start, end_s=end)


def _by_start(bar: Bar) -> tuple[float, int]:
    return bar.start_s, bar.number


def _draw_panel(axes: Axes, panel: Panel, workers: int, longest: float) -> None:
    for bar, rows in seat_bars(panel.bars, workers):
        for first, count in runs_of(rows):
            box = Rectangle(
                (bar.start_s, first + 0.06),
                max(bar.end_s - bar.start_s, 0.0),
                count - 0.12,
                facecolor=colour_of(bar.width),
                edgecolor="white",
                linewidth=0.6,
            )
            axes.add_patch(box)
    axes.axvline(panel.seconds, color=_INK, linewidth=1)
    axes.set_xlim(0, longest * 1.01)
    axes.set_ylim(workers, 0)
    axes.set_yticks([])
    axes.set_ylabel(f"{workers} workers", fontsize=8, color=_INK)
    axes.set_title(panel.title, fontsize=9, loc="left", color=_INK)
    axes.tick_params(labelsize=8, colors=_INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
