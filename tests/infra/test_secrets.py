"""The scan for secrets finds them, in files and in what was committed once, and finds none in this repository."""

import os
import secrets
import string
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.places import ROOT

SCAN = ROOT / ".ci/secrets"


def scan(*arguments: str | Path, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run([SCAN, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=280)


def made_up(letters: str, count: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(count))


KINDS = {
    "AWS Access Key": lambda: f"bucket owner: AKIA{made_up(string.ascii_uppercase + string.digits, 16)}",
    "Secret Keyword": lambda: f"aws_secret_access_key = '{made_up(string.ascii_letters, 40)}'",
    "Private Key": lambda: "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Hex High Entropy String": lambda: f"it = '{secrets.token_hex(32)}'",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "notes.py").write_text("x = 1\n")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a change")


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_secret_is_found(kind: str, repository: Path) -> None:
    planted = repository / "notes.py"
    planted.write_text(f"x = 1\n{KINDS[kind]()}\n")
    done = scan(planted, folder=repository)
    assert done.returncode == 1
    assert f"Secret Type: {kind}" in done.stdout
    assert "notes.py:2" in done.stdout


def test_a_secret_that_was_committed_once_is_found_in_the_history(repository: Path) -> None:
    assert scan("--history", folder=repository).returncode == 0
    (repository / "notes.py").write_text(KINDS["AWS Access Key"]())
    commit(repository)
    assert scan(folder=repository).returncode == 1
    (repository / "notes.py").write_text("x = 1\n")
    commit(repository)
    assert scan(folder=repository).returncode == 0
    done = scan("--history", folder=repository)
    assert done.returncode == 1
    assert "AWS Access Key" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("what", [(), ("--history",)], ids=["files", "history"])
def test_this_repository_has_none(what: tuple[str, ...]) -> None:
    done = scan(*what)
    assert done.returncode == 0, done.stdout + done.stderr
