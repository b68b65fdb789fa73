"""What the document says is what the overlays are."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.gpus import known_gpus
from pipelines.places import ROOT
from tests.infra.kuberay.operator import pods_of, quantity
from tests.infra.kuberay.rendering import KUBERAY, OVERLAYS, custom, render, walk

TEXT = (KUBERAY / "README.md").read_text()
ROWS = {
    row[0].strip("`"): row
    for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| `.*$", TEXT, re.M))
}

IMAGE_GB = 30
"""Of the root disk for the image, twice while it is unpacked, and the system."""


def test_the_table_has_every_overlay() -> None:
    assert sorted(name for name in ROWS if not name.isupper()) == OVERLAYS


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
    assert all((ROOT / file).is_file() for file in re.findall(r"kubectl apply -f (infra\S+)", TEXT))


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


def settings() -> dict[str, str]:
    lines = (KUBERAY / "gpu/settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_list_of_what_to_change_is_the_one_file_that_says_it_with_its_values() -> None:
    said = {row[0].strip("`"): row for row in ROWS.values() if row[0].strip("`").isupper()}
    assert list(said) == list(settings())
    for name, value in settings().items():
        if "<" in value:
            assert all(f"`{word}`" in said[name][1] for word in re.findall(r"<\w+>", value))
        else:
            assert said[name][2].startswith(f"`{value}`")


def test_the_gpus_that_it_names_are_entries_to_plan_for() -> None:
    named = re.findall(r"with `([a-z0-9-]+)` on (?:EKS|GKE)", " ".join(TEXT.split()))
    assert sorted(named) == ["a100-80g", "l40s"]
    assert set(named) <= set(known_gpus())


def test_the_disks_that_it_wants_hold_the_image_and_what_pods_may_write() -> None:
    said = re.search(r"of (\d+) GB at least, of (\d+) GB on nodes with eight GPUs.+?pods\s+get (\d+),", TEXT, re.DOTALL)
    assert said is not None
    one, eight, gke = map(int, said.groups())
    for pod in pods_of(render("gpu-cluster")):
        requests, limits = (
            quantity(pod.ray["resources"][kind]["ephemeral-storage"]) / 1e9 for kind in ("requests", "limits")
        )
        assert limits + IMAGE_GB <= (eight if "8-gpu" in pod.group else one), pod.group
        assert requests <= gke, pod.group


def test_the_policy_of_the_bucket_is_for_the_prefix_of_the_settings_and_lists_without_condition() -> None:
    policy = json.loads((KUBERAY / "gpu/bucket-policy.json").read_text())
    bucket, objects = policy["Statement"]
    assert bucket == {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::BUCKET"]}
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"} <= set(objects["Action"])
    prefix = settings()["PABCAST_STORE"].removeprefix("s3://<bucket>")
    assert objects["Resource"] == [f"arn:aws:s3:::BUCKET{prefix}/*"]


def test_it_says_how_often_a_budget_can_be_spent() -> None:
    assert custom(render("gpu-job"))["spec"]["backoffLimit"] == 2
    assert "it is tried twice more" in " ".join(TEXT.split())
    assert "is of one try, so of three at most" in " ".join(TEXT.split())


def test_it_says_how_long_spot_nodes_are_waited_for() -> None:
    for name in ("job.yaml", "serve.yaml"):
        waits_s = yaml.safe_load((KUBERAY / "gpu" / name).read_text())["cluster"]["spot_timeout_s"]
        assert f"{waits_s} s in the configs" in " ".join(TEXT.split())


def test_the_command_that_fills_in_the_placeholders_leaves_none(tmp_path: Path) -> None:
    registry, command = (
        re.search(pattern, TEXT, re.MULTILINE | re.DOTALL)[0]  # type: ignore[index]
        for pattern in (r"registry=\S+$", r"^bucket=.*?settings\.env$")
    )
    copy = tmp_path / "settings.env"
    copy.write_text((KUBERAY / "gpu/settings.env").read_text())
    command = command.replace("infra/kuberay/gpu/settings.env", str(copy))
    subprocess.run(["bash", "-ec", f"{registry}\n{command}"], cwd=tmp_path, check=True, timeout=20)
    lines = [line for line in copy.read_text().splitlines() if not line.startswith("#")]
    assert "PABCAST_STORE=s3://my-bucket/pabcast" in lines
    assert "PABCAST_IMAGE=registry.example.com/pabcast:0.1.0-cuda" in lines
    assert not [line for line in lines if "<" in line]


def test_what_is_followed_or_asked_is_waited_for() -> None:
    commands = [line for block in re.findall(r"```sh\n(.+?)```", TEXT, re.DOTALL) for line in block.splitlines()]
    followed = [index for index, line in enumerate(commands) if " logs --follow " in line]
    assert len(followed) == 2
    for index in followed:
        # A try's log ends with the try, and another one may follow.
        assert commands[index - 1].startswith("until kubectl -n pabcast get rayjob pabcast-job ")
        assert commands[index].startswith("do ")
    for index, line in enumerate(commands):
        if "port-forward" in line:
            assert " wait " in commands[index - 1]
            assert "--retry-connrefused" in commands[index + 1]


@pytest.mark.parametrize("last", ["Complete", "Failed", "ValidationFailed"])
def test_a_job_is_followed_through_its_tries_until_its_last_state(last: str, tmp_path: Path) -> None:
    states = ["", "Initializing", "Running", "Retrying", "Running", last, "after it"]
    stand_in = """
        sleep() { :; }
        kubectl() {
          case "$*" in
            *jsonpath*) head -n 1 states; sed -i 1d states ;;
            *logs*) echo "$*" ;;
          esac
        }
    """
    loops = re.findall(r"^until .+?^do .+?; done$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(loops) == 2
    for loop in loops:
        (tmp_path / "states").write_text("".join(f"{state}\n" for state in states))
        command = ["bash", "-c", f"{stand_in}\n{loop}"]
        said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True).stdout
        assert said.splitlines() == ["-n pabcast logs --follow job/pabcast-job"] * 5 + [last]


def test_no_other_file_has_a_placeholder() -> None:
    others = [file for file in KUBERAY.rglob("*.*") if file.suffix in (".yaml", ".env") and file.name != "settings.env"]
    text = "".join(line for file in others for line in file.open() if not line.lstrip().startswith("#"))
    assert len(text) > 10_000
    assert not re.findall(r"<\w+>|change-me|example\.(?:com|org)|\bBUCKET\b", text)
