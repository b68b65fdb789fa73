"""The rules: Prometheus' own checks, the metrics that they ask for, and the runbook that each refers to."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.places import ROOT
from tests.infra.observability.queries import asked, exported

FOLDER = ROOT / "infra/observability"
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RUNBOOK = (FOLDER / "README.md").read_text()
PROMTOOL = shutil.which("promtool")
UNIT_TESTS = Path(__file__).with_name("alerts_test.yml")

alerts = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
with_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt-get install prometheus)")


def promtool(*arguments: str) -> str:
    done = subprocess.run([str(PROMTOOL), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@with_promtool
def test_promtool_finds_the_rules_good() -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", "infra/observability/alerts.yml")


@with_promtool
@pytest.mark.parametrize("file", ["prometheus.yml", "prometheus-head.yml", "prometheus-kuberay.yml"])
def test_promtool_finds_the_config_good(file: str) -> None:
    assert f"{file} is valid" in promtool("check", "config", f"infra/observability/{file}")


@with_promtool
@pytest.mark.parametrize("file", ["prometheus.yml", "prometheus-head.yml", "prometheus-kuberay.yml"])
def test_the_block_that_sends_alerts_on_can_be_put_into_the_config(file: str, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(alerting:.+?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
    (tmp_path / file).write_text(f"{(FOLDER / file).read_text()}\n{block}")
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    assert "is valid" in promtool("check", "config", "--syntax-only", str(tmp_path / file))


@with_promtool
def test_the_rules_do_on_made_up_series_what_their_unit_tests_say() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(UNIT_TESTS.relative_to(ROOT)))


def test_every_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    cases = [case for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    names = {alert["alert"] for alert in ALERTS}
    assert fires == names
    assert silent >= names - {"PabcastVideosFail"}, "of which one test has both"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_and_label_of_a_rule_is_one_that_the_code_exports(rule: dict[str, Any]) -> None:
    known = exported()
    for recorded in (rule for rule in RULES if "record" in rule):
        (source,) = asked(recorded["expr"])
        known[recorded["record"]] = source.labels
    found = asked(rule["expr"])
    assert found
    assert [selector.name for selector in found if selector.name not in known] == []
    assert [selector for selector in found if not selector.labels <= known[selector.name]] == []


@alerts
def test_an_alert_has_a_severity_and_a_line_of_runbook_with_a_heading(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    line = alert["annotations"]["runbook"]
    assert "\n" not in line
    text, name = re.fullmatch(r"(.{20,}); README\.md#(\w+)", line).groups()  # type: ignore[union-attr]
    assert name == alert["alert"].lower()
    entry = re.search(rf"^### {alert['alert']}\n\n(.+?)\n(?=\n#|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert entry, f"the runbook has no heading {alert['alert']}"
    assert len(entry[1]) > len(text), "the runbook says more than the line"


def test_the_runbook_has_no_alert_that_there_is_not() -> None:
    headings = re.findall(r"^### (Pabcast\w+)$", RUNBOOK, re.MULTILINE)
    assert headings == [alert["alert"] for alert in ALERTS]
