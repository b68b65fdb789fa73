"""The files beside the runbook, and the commands in it."""

import re
import subprocess
from typing import Any

import yaml
from ray.autoscaler.sdk import get_docker_host_mount_location
from ray.scripts.scripts import start

from pipelines.places import ROOT
from tests.infra.launcher.clusters import CLOUDS, read, start_arguments
from tests.infra.observability.test_alerts import FOLDER, RUNBOOK

LABELS = {"app.kubernetes.io/part-of": "pabcast"}
"""By which a command gives them the label of a Helm release too."""
COMMANDS = re.findall(r"^```sh\n(.+?)\n```", RUNBOOK, re.MULTILINE | re.DOTALL)


def test_the_rules_become_a_prometheus_rule_by_the_command_that_says_so() -> None:
    (command,) = (command for command in COMMANDS if "PrometheusRule" in command)
    assert command.endswith("kubectl apply -n pabcast -f -")
    shown = command.replace("kubectl apply -n pabcast -f -", "cat")
    done = subprocess.run(["bash", "-c", shown], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    rule = yaml.safe_load(done.stdout)
    assert rule["kind"] == "PrometheusRule"
    assert rule["metadata"] == {"name": "pabcast", "namespace": "pabcast", "labels": LABELS}
    assert rule["spec"] == yaml.safe_load((FOLDER / "alerts.yml").read_text())


def test_every_file_here_is_in_its_table_and_every_link_leads_somewhere() -> None:
    linked = set(re.findall(r"\]\((?!http)([^)#]+)\)", RUNBOOK))
    assert [link for link in linked if not (FOLDER / link).exists()] == []
    here = {file.name for file in FOLDER.iterdir() if file.is_file()} - {"README.md", "endpoints.json"}
    assert here <= linked


def test_the_labels_by_which_the_release_is_said_are_those_of_the_operators_objects() -> None:
    (command,) = (command for command in COMMANDS if "kubectl -n pabcast label" in command)
    assert "-l app.kubernetes.io/part-of=pabcast" in command
    for name, kind in (("podmonitor.yaml", "PodMonitor"), ("scrapeconfig.yaml", "ScrapeConfig")):
        thing = yaml.safe_load((FOLDER / name).read_text())
        assert thing["kind"] == kind
        assert thing["metadata"]["labels"] == LABELS
        assert thing["metadata"]["namespace"] == "pabcast"
        assert kind.lower() in command
        assert f"kubectl apply -n pabcast -f infra/observability/{name}" in RUNBOOK


def test_prometheus_on_the_head_finds_what_the_launcher_has_put_there() -> None:
    (command,) = (command for command in COMMANDS if "docker run" in command)
    for cloud in CLOUDS:
        values = read(cloud)
        mounted = f"{get_docker_host_mount_location(values['cluster_name'])}/home/pabcast:/home/pabcast:ro"
        assert f"--volume={mounted}" in command
        (folder,) = values["file_mounts"]
        (job,) = (job for job in config_named("prometheus-head.yml") if "http_sd_configs" in job)
        assert job["http_sd_configs"][0]["authorization"]["credentials_file"] == f"{folder}/token"
        given = start.make_context("ray start", start_arguments(values["head_start_ray_commands"])).params
        listens = f"http://{given['dashboard_host']}:{given['dashboard_port']}/"
        assert job["http_sd_configs"][0]["url"].startswith(listens)
    sent = re.search(r"^ray rsync-up infra/launcher/aws.yaml (\S+/) (\S+/)$", command, re.MULTILINE)
    assert sent is not None
    assert f"--config.file={sent[2]}prometheus-head.yml" in command
    assert ROOT / sent[1] == FOLDER


def config_named(name: str) -> list[dict[str, Any]]:
    """What a config of Prometheus scrapes."""
    jobs: list[dict[str, Any]] = yaml.safe_load((FOLDER / name).read_text())["scrape_configs"]
    return jobs
