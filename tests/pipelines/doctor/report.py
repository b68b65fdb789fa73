"""`pabcast doctor` as a person runs it, and what it reports."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.places import ROOT

UNSET = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "RAY_ADDRESS", "RAY_AUTH_MODE")
LIMIT_S = 280


@dataclass(frozen=True)
class Report:
    """One run."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """The JSON object, which is the last line."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def lines(self) -> dict[str, dict[str, str]]:
        """The checks by their names."""
        return {check["name"]: check for check in self.answer["checks"]}

    @property
    def failed(self) -> list[str]:
        """The names of the lines that have failed."""
        return [check["name"] for check in self.answer["checks"] if check["status"] == "failed"]


def clean_environment() -> dict[str, str]:
    """This process's, without a store and a cluster."""
    environment = {name: value for name, value in os.environ.items() if name not in UNSET}
    return environment | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}


def diagnose(
    *arguments: object, folder: Path, variables: Mapping[str, str] | None = None, within: Sequence[str] = ()
) -> Report:
    """`pabcast doctor --json` in `folder`, with these variables in its environment, run by the command `within`."""
    environment = {**clean_environment(), **(variables or {})}
    command = [*within, sys.executable, "-m", "pipelines.cli", "doctor", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    return Report(done.returncode, done.stdout, done.stderr)
