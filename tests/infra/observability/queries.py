"""What PromQL asks for, and what the code exports."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

from actors import meters
from pipelines.serving import figures, traffic

RAYS_LABELS = frozenset({"SessionName", "WorkerId", "NodeAddress"})
"""Of what a process counts, as Ray's node agents export it."""
PROMETHEUS_LABELS = frozenset({"job", "instance"})
"""Of everything that is scraped."""
OWN_LABELS = {figures.JOBS: {"state"}, f"{figures.ENDED}_total": {"result"}, figures.WORKERS: set()}


@dataclass(frozen=True)
class Asked:
    """One selector of a query: the metric, and the labels that it is told apart by."""

    name: str
    labels: frozenset[str]


def exported() -> dict[str, frozenset[str]]:
    """The labels of every metric that a scrape shows, by name, from what defines them; Prometheus' own `up` too."""
    labels = {"up": PROMETHEUS_LABELS}
    for metric in (*meters.METRICS, *traffic.METRICS):
        for name in metric.exported:
            bucket = {"le"} if name.endswith("_bucket") else set()
            labels[name] = RAYS_LABELS | PROMETHEUS_LABELS | set(metric.labels) | bucket
    return labels | {name: PROMETHEUS_LABELS | OWN_LABELS[name] for name in figures.METRIC_NAMES}


def asked(query: str) -> list[Asked]:
    """Every selector of `query`, with the labels of its matchers and of the aggregations around it."""
    return list(_walk(promql_parser.parse(query), frozenset()))


def _walk(node: Any, around: frozenset[str]) -> Iterator[Asked]:
    match node:
        case promql_parser.VectorSelector():
            matched = {matcher.name for matcher in node.matchers.matchers}
            yield Asked(str(node.name), around | matched)
        case promql_parser.MatrixSelector():
            yield from _walk(node.vector_selector, around)
        case promql_parser.AggregateExpr():
            by = frozenset(node.modifier.labels) if node.modifier else frozenset()
            yield from _walk(node.expr, around | by)
        case promql_parser.BinaryExpr():
            yield from _walk(node.lhs, around)
            yield from _walk(node.rhs, around)
        case promql_parser.Call():
            for argument in node.args:
                yield from _walk(argument, around)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _walk(node.expr, around)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise TypeError(f"{type(node).__name__} in a query")
