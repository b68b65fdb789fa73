"""One metric, as Ray is told it and as a scrape of Ray shows it."""

from dataclasses import dataclass
from typing import Literal

from ray.util import metrics as ray_metrics

LabelValues = tuple[str, ...]

_SUFFIXES = {"gauge": ("",), "counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What it is called, what it says, and by what it is told apart."""

    name: str
    """As Ray is told it."""
    type: Literal["gauge", "counter", "histogram"]
    description: str
    labels: tuple[str, ...] = ()
    known: tuple[LabelValues, ...] = ()
    """A counter's label values that are exported before they first occur, so that PromQL sees the first increase."""
    buckets: tuple[float, ...] = ()
    """A histogram's upper bounds."""

    @property
    def exported(self) -> tuple[str, ...]:
        """The names that a scrape shows."""
        return tuple(f"ray_{self.name}{suffix}" for suffix in _SUFFIXES[self.type])

    def tags(self, values: LabelValues) -> dict[str, str]:
        """`values` by the labels that they are of."""
        return dict(zip(self.labels, values, strict=True))

    def at_ray(self) -> ray_metrics.Metric:
        """Ray's part of it in this process; one is enough."""
        if self.type == "histogram":
            return ray_metrics.Histogram(self.name, self.description, list(self.buckets), self.labels)
        kind = ray_metrics.Gauge if self.type == "gauge" else ray_metrics.Counter
        made = kind(self.name, self.description, self.labels)
        for values in self.known:
            show_zero(made, self.tags(values))
        return made


def show_zero(counter: ray_metrics.Metric, tags: dict[str, str]) -> None:
    """Export a counter before its first event; `inc` refuses a zero."""
    counter._record(0.0, tags)


def five_a_decade(exponent: int, decades: int) -> tuple[float, ...]:
    """Bounds from 10 ** `exponent` on, five a power of ten."""
    return tuple(float(f"{10 ** (exponent + fifth / 5):.1e}") for fifth in range(5 * decades + 1))
