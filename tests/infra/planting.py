"""Secrets made up for a test, a repository to plant them in, and the scan that must find them."""

import os
import secrets
import string
import subprocess
import sys
from pathlib import Path

from pipelines.places import ROOT

SCAN = ROOT / ".ci/secrets"


def scan(*arguments: str | Path, folder: Path = ROOT, tools: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Of the repository that `folder` is of; programs in `tools` are found first."""
    places = [*([tools] if tools else []), Path(sys.executable).parent, os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(map(str, places))}
    return subprocess.run([SCAN, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=280)


def made_up(letters: str, count: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(count))


def aws_key() -> str:
    return f"AKIA{made_up(string.ascii_uppercase + string.digits, 16)}"


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=30).stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a change")


def mixed(count: int) -> str:
    """Letters and figures, each kind of them at least once."""
    return "Aa0" + made_up(string.ascii_letters + string.digits, count - 3)


def places(done: "subprocess.CompletedProcess[str]") -> set[str]:
    assert done.returncode == 1, done.stderr
    return {line.split()[-1] for line in done.stdout.splitlines() if line.startswith("Location:")}


def lines_of(done: "subprocess.CompletedProcess[str]", name: str) -> set[int]:
    found = [place.rpartition(":") for place in places(done)]
    return {int(number) for file, _, number in found if file == name}
