"""What a check has found: one line of `pabcast doctor`."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]
SET_TMPDIR = "set TMPDIR to a folder that is there and can be written"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A line."""

    name: str
    """What was looked at."""
    status: Status
    found: str
    """What is there, with its figures."""
    way_out: str = ""
    """What to do about it; of what is ok nothing."""


def ok(name: str, found: str) -> Finding:
    """Nothing is to be done."""
    return Finding(name=name, status="ok", found=found)


def warning(name: str, found: str, way_out: str) -> Finding:
    """It works, but not as well as it might."""
    return Finding(name=name, status="warning", found=found, way_out=way_out)


def failed(name: str, found: str, way_out: str) -> Finding:
    """What is asked for cannot work."""
    return Finding(name=name, status="failed", found=found, way_out=way_out)


def failed_by(name: str, error: Exception) -> Finding:
    """The line of an error that pabcast raised on purpose: its way out stands behind its first semicolon."""
    found, _, way_out = str(error).partition("; ")
    return failed(name, found, way_out or "correct it, or ask for something else")
