"""The commands of infra's documents say where they act, and are ones that a shell can read."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.places import ROOT

INFRA = ROOT / "infra"
DOCUMENTS = sorted(INFRA.glob("*/README.md"))
BLOCK = re.compile(r"^ *```sh\n(.+?)^ *```", re.MULTILINE | re.DOTALL)
WITHOUT_NAMESPACE = re.compile(
    r"kubectl (apply -k infra/kuberay/overlays/|apply -f infra/kuberay/base/namespace\.yaml|delete -k|drain "
    r"|get prometheus --all-namespaces)"
)
"""What names it itself, makes it, or is about none."""


def commands(text: str) -> list[str]:
    """Those of the blocks for a shell, and those within sentences."""
    lines = [line for block in BLOCK.findall(text) for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return lines + [" ".join(one.split()) for one in re.findall(r"(?<!`)`([^`]+)`(?!`)", BLOCK.sub("", text))]


def nameless(text: str) -> list[str]:
    """Calls of kubectl that would act in whatever namespace is at hand."""
    calls = [call for line in commands(text) for call in re.findall(r"kubectl (?:-|[a-z]+ )[^|)]+", line)]
    return [call for call in calls if not re.search(r" -n \w", call) and not WITHOUT_NAMESPACE.match(call)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.parent.name)
def test_every_kubectl_says_in_which_namespace(document: Path) -> None:
    assert nameless(document.read_text()) == []


def test_a_kubectl_without_one_would_be_found() -> None:
    assert nameless("```sh\nkubectl apply -f infra/observability/podmonitor.yaml\n```") != []
    assert nameless("say `kubectl delete\nrayjob pabcast-job` then") != []
    assert nameless("```sh\nx=$(kubectl get pod -o name)\n```") != []
    assert nameless("```sh\n{ cat x; } | kubectl apply -f -\n```") != []


def test_every_command_is_one_that_a_shell_can_read() -> None:
    blocks = [block for document in DOCUMENTS for block in BLOCK.findall(document.read_text())]
    assert len(blocks) >= 20
    for block in blocks:
        done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, ""), block


def test_every_option_that_the_doctor_is_called_with_is_one_of_its() -> None:
    command = [sys.executable, "-m", "pipelines.cli", "doctor", "--help"]
    known = set(re.findall(r"--[a-z]+", subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout))
    called = [line for document in DOCUMENTS for line in commands(document.read_text()) if "pabcast doctor" in line]
    assert len(called) >= 5
    used = {option for line in called for option in re.findall(r"--[a-z]+", line.partition("pabcast doctor")[2])}
    assert {"--address", "--store"} <= used <= known


@pytest.mark.parametrize(("name", "ignored"), [("s3.env", True), ("keys.txt", True), ("prompts.txt", False)])
def test_git_and_ray_pass_over_the_keys_that_the_commands_read_here_and_no_prompts(name: str, ignored: bool) -> None:
    """What git ignores Ray leaves out of a working directory, in which the prompts of a job have to be."""
    assert any(re.search(rf"(?<![/\w]){re.escape(name)}\b", text.read_text()) for text in DOCUMENTS)
    done = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", name], cwd=ROOT, timeout=20)
    assert (done.returncode == 0) is ignored


def test_no_command_for_the_head_is_of_a_program_that_the_image_lacks() -> None:
    """The way to ask for the bucket there is the doctor."""
    asked = [line for line in commands((INFRA / "observability/README.md").read_text()) if line.startswith("aws ")]
    assert asked == []
