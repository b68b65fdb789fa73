"""What the document says is what the overlays are."""

import re

import pytest

from pipelines.places import ROOT
from tests.infra.kuberay.operator import pods_of
from tests.infra.kuberay.rendering import KUBERAY, OVERLAYS, custom, render, walk

TEXT = (KUBERAY / "README.md").read_text()
ROWS = {
    row[0].strip("`"): row
    for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| `.*$", TEXT, re.M))
}


def test_the_table_has_every_overlay() -> None:
    assert sorted(ROWS) == OVERLAYS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_row_of_the_table_names_the_object_and_the_secrets_of_its_overlay(overlay: str) -> None:
    thing = custom(render(overlay))
    assert ROWS[overlay][2] == f"{thing['kind']} `{thing['metadata']['name']}`"
    said = "".join(ROWS[overlay][-1] if "above" not in ROWS[overlay][-1] else ROWS[f"{overlay[:3]}-cluster"][-1])
    said += ROWS[f"{overlay[:3]}-cluster"][-1] if said.startswith("and") else ""
    for path, value in walk(thing):
        if path.endswith("secretName"):
            assert f"`{value}`" in said
        if path.endswith("secretRef.name") and overlay.startswith("gpu"):
            assert f"`{value}`" in said


def test_every_link_and_every_folder_of_a_command_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert len(links) >= 8
    assert [link for link in links if not (KUBERAY / link).exists()] == []
    applied = re.findall(r"^kubectl apply -k (infra\S+)$", TEXT, re.MULTILINE)
    assert len(applied) == 4
    assert all((ROOT / folder / "kustomization.yaml").is_file() for folder in applied)


def test_the_times_of_a_drain_are_those_of_the_groups() -> None:
    pods = [pod for pod in pods_of(render("gpu-cluster")) if pod.group != "head"]
    drains = {pod.group.partition("-")[0]: int(pod.environment["PABCAST_DRAIN_S"]) for pod in pods}
    graces = {pod.group.partition("-")[0]: pod.spec["terminationGracePeriodSeconds"] for pod in pods}
    text = " ".join(TEXT.split())
    assert f"{drains['on']} s later at most on demand and {drains['spot']} s on spot nodes" in text
    assert f"the grace periods, {graces['on']} s and {graces['spot']} s, are above that" in text


def test_the_ports_and_labels_that_it_says_are_those_of_the_policies() -> None:
    said = TEXT.partition("## Security")[2]
    policies = [thing for thing in render("gpu-endpoint") if thing["kind"] == "NetworkPolicy"]
    ports = {value for path, value in walk(policies) if path.endswith(".port")}
    assert ports == {53, 443, 6443, 8000, 8080, 8265}
    assert all(str(port) in said for port in ports - {53})
    assert "pabcast/clients=true" in said
