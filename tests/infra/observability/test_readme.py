"""The files beside the runbook, and the commands in it."""

import re
import subprocess

import yaml

from pipelines.places import ROOT
from tests.infra.observability.test_alerts import FOLDER, RUNBOOK

COMMANDS = re.findall(r"^```sh\n(.+?)\n```", RUNBOOK, re.MULTILINE | re.DOTALL)


def test_the_rules_become_a_prometheus_rule_by_the_command_that_says_so() -> None:
    (command,) = (command for command in COMMANDS if "PrometheusRule" in command)
    assert command.endswith("kubectl apply -f -")
    shown = command.replace("kubectl apply -f -", "cat")
    done = subprocess.run(["bash", "-c", shown], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    rule = yaml.safe_load(done.stdout)
    assert rule["kind"] == "PrometheusRule"
    assert rule["spec"] == yaml.safe_load((FOLDER / "alerts.yml").read_text())


def test_every_file_here_is_in_its_table_and_every_link_leads_somewhere() -> None:
    linked = set(re.findall(r"\]\((?!http)([^)#]+)\)", RUNBOOK))
    assert [link for link in linked if not (FOLDER / link).exists()] == []
    here = {file.name for file in FOLDER.iterdir() if file.is_file() and file.name != "README.md"}
    assert here <= linked


def test_the_operators_objects_watch_what_the_config_for_a_remote_cluster_does() -> None:
    monitor, scrape = yaml.safe_load_all((FOLDER / "podmonitor.yaml").read_text())
    config = yaml.safe_load((FOLDER / "prometheus-remote.yml").read_text())
    endpoint = next(job for job in config["scrape_configs"] if job["job_name"] == "pabcast-endpoint")
    assert (monitor["kind"], scrape["kind"]) == ("PodMonitor", "ScrapeConfig")
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    assert scrape["spec"]["staticConfigs"][0]["targets"] == endpoint["static_configs"][0]["targets"]
    # The alert for an endpoint that is down goes by the name of its job.
    assert scrape["spec"]["staticConfigs"][0]["labels"] == {"job": endpoint["job_name"]}
