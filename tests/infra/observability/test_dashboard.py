"""The dashboard as Grafana reads it, and its queries against what the code exports."""

import json
import re
from itertools import combinations
from string import Template
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.observability.render import DASHBOARD, Panel, fill, panels_of, spell, variables_of
from tests.infra.observability.queries import Asked, asked, exported

BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text())
PANELS = panels_of(BOARD)
VARIABLES = variables_of(BOARD)
UNITS = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)}
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
panels = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def missing(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where `theirs` lacks a key of `ours` or has another value; more keys are no matter."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        lacking = [f"{where}.{key}" for key in ours if key not in theirs]
        return lacking + [
            found for key in ours if key in theirs for found in missing(ours[key], theirs[key], f"{where}.{key}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [found for index, (mine, their) in pairs for found in missing(mine, their, f"{where}[{index}]")]
    return [] if ours == theirs else [f"{where}: {ours!r} is {theirs!r}"]


def test_grafanas_own_model_of_a_dashboard_knows_every_field() -> None:
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARD)))
    assert missing(BOARD, again) == []


def test_a_field_that_grafana_does_not_know_would_be_found() -> None:
    register_default_plugins()
    other = json.loads(DASHBOARD.read_text())
    other["panels"][1]["titel"] = "a"
    other["panels"][7]["fieldConfig"]["defaults"]["custom"]["lineWith"] = 1
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(other)))
    found = missing(other, again)
    assert [where.rpartition(".")[2] for where in found] == ["titel", "lineWith"]


def test_it_says_what_it_is_and_asks_the_chosen_prometheus() -> None:
    assert BOARD["uid"] == "pabcast-pool"
    assert BOARD["schemaVersion"] >= 39
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*PANELS, *(target for panel in PANELS for target in panel["targets"])]
    assert {json.dumps(part["datasource"]) for part in asking} == {json.dumps(chosen)}
    names = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert names == ["datasource", "session", "endpoint", "window"]


def test_no_two_panels_overlap_or_share_an_id() -> None:
    def cells(panel: Panel) -> set[tuple[int, int]]:
        place = panel["gridPos"]
        return {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}

    everything = BOARD["panels"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in everything)
    assert [(a["title"], b["title"]) for a, b in combinations(everything, 2) if cells(a) & cells(b)] == []
    assert len({panel["id"] for panel in everything}) == len(everything)


@panels
def test_a_panel_says_what_to_do_with_it(panel: Panel) -> None:
    sentences = re.findall(r"[^.:;]+[.:;]", panel["description"] + " ")
    assert len(sentences) >= 2, "what it shows, and what follows"
    unit = panel["fieldConfig"]["defaults"]["unit"]
    assert unit in UNITS
    assert spell(0.5, unit), "render.py spells it too"


@panels
def test_a_panels_queries_have_a_legend_each_of_labels_that_they_keep(panel: Panel) -> None:
    refs = [target["refId"] for target in panel["targets"]]
    assert len(set(refs)) == len(refs)
    for target in panel["targets"]:
        kept = frozenset[str]().union(*(selector.labels for selector in selectors(target["expr"])))
        assert target["legendFormat"]
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept


def selectors(query: str) -> list[Asked]:
    return asked(fill(query, VARIABLES, 3600.0))


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_every_metric_and_label_that_it_asks_for_is_one_that_the_code_exports(title: str, query: str) -> None:
    known = exported()
    found = selectors(query)
    assert found
    assert [selector.name for selector in found if selector.name not in known] == []
    assert [selector for selector in found if not selector.labels <= known[selector.name]] == []


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_every_query_heeds_the_choice_of_cluster_or_endpoint(title: str, query: str) -> None:
    assert all(selector.labels & {"SessionName", "instance"} for selector in selectors(query))
    assert {name for name in Template(query).get_identifiers() if not name.startswith("__")} <= VARIABLES.keys()


def test_the_choices_are_of_labels_that_are_exported() -> None:
    known = exported()
    choices = [variable["query"]["query"] for variable in BOARD["templating"]["list"] if variable["type"] == "query"]
    assert len(choices) == 2
    for choice in choices:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", choice).groups()  # type: ignore[union-attr]
        assert label in known[name]


def test_what_the_issue_asks_for_is_shown() -> None:
    shown = {selector.name for _, query in QUERIES for selector in selectors(query)}
    unshown = {name for name in exported() if not name.startswith("ray_pabcast_step") and name not in shown}
    # A histogram's buckets, sum and count are asked for as a panel needs them.
    assert unshown <= {"up", "ray_pabcast_wait_seconds_count", "ray_pabcast_wait_seconds_sum"} | {
        f"ray_pabcast_cache_peak_bytes_{part}" for part in ("count", "sum")
    }
