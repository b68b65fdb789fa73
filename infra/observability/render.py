"""Draws the dashboard's panels from a live Prometheus into one PNG, for where there is no Grafana.

    python infra/observability/render.py http://127.0.0.1:9090 --minutes 10 --set window=1m --out dashboard.png

Panels, queries, units and legends are those of dashboard.json beside this file; every variable is at its default, or as
`--set` says.
"""

import argparse
import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

DASHBOARD = Path(__file__).with_name("dashboard.json")
POINTS = 240
"""Of a line at most."""
CELL_INCHES, GAP = (0.5, 0.29), 0.03
"""Of the dashboard's grid of 24 columns, and what is left free around a panel."""
DPI, COLOURS = 100, 64
LEFT = 0.7
"""Inches left of a panel's lines, for their axis."""
INK, FAINT, GROUND = "#24292f", "#d0d7de", "#f3f5f7"
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))

Panel = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: its legend, and seconds since 1970 with values."""

    legend: str
    times: list[float]
    values: list[float]


def panels_of(dashboard: Mapping[str, Any]) -> list[Panel]:
    """All but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables_of(dashboard: Mapping[str, Any], **given: str) -> dict[str, str]:
    """What the queries' variables stand for: what is given, else each one's default; all of what may be chosen."""
    values = {}
    for variable in dashboard["templating"]["list"]:
        current = variable["current"].get("value", "")
        values[variable["name"]] = variable["allValue"] if current == ["$__all"] else current
    return values | given


def fill(query: str, variables: Mapping[str, str], range_s: float) -> str:
    """`query` as Grafana sends it; KeyError if it has a variable that is not known."""
    return Template(query).substitute(variables, __range=f"{math.ceil(range_s)}s")


class Prometheus:
    """Asks one server."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def instant(self, query: str, at: float) -> list[dict[str, Any]]:
        """The vector that `query` is at a time."""
        return self._ask("query", query=query, time=at)

    def range(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """The matrix that `query` is between two times."""
        return self._ask("query_range", query=query, start=start, end=end, step=max(1.0, (end - start) / POINTS))

    def _ask(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


def series_of(
    prometheus: Prometheus, panel: Panel, variables: Mapping[str, str], span: tuple[float, float]
) -> list[Series]:
    """What the panel shows between two times."""
    start, end = span
    found = []
    for target in panel["targets"]:
        query = fill(target["expr"], variables, end - start)
        if target.get("instant"):
            result = [{**sample, "values": [sample["value"]]} for sample in prometheus.instant(query, end)]
        else:
            result = prometheus.range(query, start, end)
        for sample in sorted(result, key=lambda sample: sorted(sample["metric"].items())):
            times, values = zip(*((float(at), float(value)) for at, value in sample["values"]), strict=True)
            legend = target["legendFormat"]
            for label, value in sample["metric"].items():
                legend = legend.replace(f"{{{{{label}}}}}", value)
            found.append(Series(legend=legend, times=list(times), values=list(values)))
    return found


def spell(value: float, unit: str, decimals: int | None = None) -> str:
    """A value in one of Grafana's units."""
    if math.isnan(value):
        return "no data"
    if unit == "percentunit":
        return f"{100 * value:.{decimals or 0}f} %"
    if unit == "h":
        return f"{value:.{2 if decimals is None else decimals}f} h"
    suffix = {"s": " s", "decbytes": "B", "Bps": "B/s", "reqps": "/s", "none": ""}[unit]
    if unit in ("decbytes", "Bps"):
        size, prefix = next(((size, prefix) for size, prefix in _PREFIXES if abs(value) >= size), (1.0, ""))
        return f"{value / size:.3g} {prefix}{suffix}"
    return f"{value:.4g}{suffix}" if decimals is None else f"{value:.{decimals}f}{suffix}"


def draw(dashboard: Mapping[str, Any], shown: Mapping[int, list[Series]], span: tuple[float, float], out: Path) -> None:
    """Draw every panel with its series, by its id, where the dashboard has it."""
    plt.rcParams.update({"font.size": 8, "axes.edgecolor": FAINT, "text.color": INK, "xtick.color": INK})
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    width, height = 24 * CELL_INCHES[0], max(place["y"] + place["h"] for place in places) * CELL_INCHES[1]
    figure = plt.figure(figsize=(width, height), facecolor=GROUND)
    for panel, place in zip(dashboard["panels"], places, strict=True):
        left, w = place["x"] * CELL_INCHES[0], place["w"] * CELL_INCHES[0]
        bottom, h = height - (place["y"] + place["h"]) * CELL_INCHES[1], place["h"] * CELL_INCHES[1]

        def axes(x: float, y: float, wide: float, high: float) -> Axes:
            return figure.add_axes((x / width, y / height, wide / width, high / height))

        if panel["type"] == "row":
            figure.text(
                (left + 0.1) / width, (bottom + h / 2) / height, panel["title"], weight="bold", size=9, va="center"
            )
            continue
        frame = axes(left + GAP, bottom + GAP, w - 2 * GAP, h - 2 * GAP)
        frame.set(xticks=[], yticks=[], facecolor="white")
        if panel["type"] == "stat":
            _draw_stat(frame, panel, shown[panel["id"]])
        else:
            inside = axes(left + LEFT, bottom + 0.62, w - LEFT - 0.2, h - 1.0)
            _draw_lines(inside, panel, shown[panel["id"]])
            inside.set_xlim(*_dates(list(span)))
    _save(figure, out)


def _save(figure: Figure, out: Path) -> None:
    """As a PNG of few colours, which is a third of the size."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=DPI)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(out, format="PNG", optimize=True)


def _draw_stat(axes: Axes, panel: Panel, series: list[Series]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    value = series[0].values[-1] if series else math.nan
    steps = defaults["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    axes.text(0.5, 0.8, panel["title"], ha="center", va="center", transform=axes.transAxes)
    text = spell(value, defaults["unit"], defaults.get("decimals"))
    axes.text(0.5, 0.38, text, ha="center", va="center", size=19, color=f"tab:{reached[-1]}", transform=axes.transAxes)


def _draw_lines(axes: Axes, panel: Panel, series: list[Series]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    colours = mpl.colormaps["tab10"].colors
    axes.set_prop_cycle(color=colours)
    if custom["stacking"]["mode"] == "normal" and series:
        times, layers = _aligned(series)
        below = [0.0] * len(times)
        for line, layer in zip(series, layers, strict=True):
            above = [low + value for low, value in zip(below, layer, strict=True)]
            axes.fill_between(_dates(times), below, above, alpha=0.6, label=line.legend, lw=0.5, step="post")
            below = above
    else:
        for line in series:
            axes.plot(_dates(line.times), line.values, lw=1.2, label=line.legend)
    inches = axes.get_window_extent().width / DPI
    edge = (0.12 - LEFT) / inches
    axes.set_title(panel["title"], size=8, loc="left", x=edge)
    axes.grid(color=FAINT, linewidth=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    if not any(value for line in series for value in line.values):
        axes.set_ylim(top=1.0)
    axes.set_ylim(bottom=defaults.get("min"), top=defaults.get("max"))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: spell(value, defaults["unit"])))
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.tick_params(length=2, pad=2, labelsize=7)
    if series:
        columns = max(1, int(inches / 1.1))
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(edge, -0.14),
            ncols=columns,
            frameon=False,
            fontsize=6.5,
            handlelength=1,
            columnspacing=1,
            borderpad=0,
            labelspacing=0.2,
        )


def _aligned(series: list[Series]) -> tuple[list[float], list[list[float]]]:
    """All times, and each one's values at them; nothing where it has none."""
    times = sorted({at for line in series for at in line.times})
    known: Iterator[dict[float, float]] = (dict(zip(line.times, line.values, strict=True)) for line in series)
    return times, [[0.0 if math.isnan(value := values.get(at, 0.0)) else value for at in times] for values in known]


def _dates(times: list[float]) -> list[datetime]:
    return [datetime.fromtimestamp(at) for at in times]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("prometheus", help="its address, as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long before its end")
    parser.add_argument("--until", type=datetime.fromisoformat, help="its end, as 2030-01-31T12:00; else now")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the dashboard")
    parser.add_argument("--out", type=Path, default=Path("dashboard.png"))
    given = parser.parse_args()
    dashboard = json.loads(DASHBOARD.read_text())
    variables = variables_of(dashboard, **dict(pair.split("=", 1) for pair in given.set))
    end = given.until.timestamp() if given.until else time.time()
    span = (end - 60 * given.minutes, end)
    prometheus = Prometheus(given.prometheus)
    shown = {panel["id"]: series_of(prometheus, panel, variables, span) for panel in panels_of(dashboard)}
    draw(dashboard, shown, span, given.out)
    print(given.out)


if __name__ == "__main__":
    main()
