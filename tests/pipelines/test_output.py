"""What reaches a terminal: help, versions, texts that are only text, and streams that are not as usual."""

import json
import os
import subprocess
import sys

import pytest

from pipelines.commands.output import print_json, tell
from pipelines.places import ROOT
from pipelines.summary import Failure, JobSummary


def pabcast(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`pabcast …` in a shell, so that it may redirect."""
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m pipelines.cli {command}"],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("command", ["", "bench"])
def test_a_command_without_arguments_shows_its_help_and_answers_with_2(command: str) -> None:
    done = pabcast(command)
    assert done.returncode == 2
    assert done.stderr.startswith(b"Usage: ")


def test_h_is_help_and_there_is_a_version() -> None:
    assert pabcast("run -h").returncode == 0
    assert pabcast("--version").stdout.startswith(b"pabcast 0.")


@pytest.mark.parametrize(("command", "code"), [("models >&-", 0), ("models 2>&-", 0), ("run none.yaml 2>&-", 2)])
def test_a_closed_stream_leads_nowhere(command: str, code: int) -> None:
    done = pabcast(command)
    assert (done.returncode, done.stderr) == (code, b"")


def test_a_terminal_that_lacks_letters_is_given_their_numbers() -> None:
    code = "from pipelines.commands.output import *; open_streams(); tell('ключ'); print_json(['ключ'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    first, second = done.stdout.decode("ascii").splitlines()
    assert json.loads(f'"{first}"') == json.loads(second)[0] == "ключ"


def test_texts_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tell("row \x1b]0;title\x07 \x9b2J \u202e:\tno prompt\nthe end")
    assert capsys.readouterr().out == "row \\u001b]0;title\\u0007 \\u009b2J \\u202e:\tno prompt\nthe end\n"
    print_json({"id": "\x9b2J\x7f"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"id": "\x9b2J\x7f"}


def test_a_row_writes_no_lines_of_its_own_into_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    bad = Failure(source="p.jsonl:1", id="x\n12 made, 0 failed\r\x1b[2J", reason="no prompt")
    counts = {"requested": 1, "skipped": 0, "committed": 0, "failed": 1}
    tell(JobSummary(**counts, seconds=1.0, gang_busy_fraction=0.0, uri="/out", failures=(bad,)).spell())
    assert "  failed p.jsonl:1 (x 12 made, 0 failed \\u001b[2J): no prompt\n" in capsys.readouterr().out
