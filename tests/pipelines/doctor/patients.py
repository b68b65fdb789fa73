"""Checks that behave badly, and one that does not; functions of a module, so that other processes find them."""

import os
import signal
import sys
import time
from pathlib import Path

from pipelines.doctor.finding import Finding, ok
from pipelines.doctor.store import undisturbed
from pipelines.doctor.wanted import Wanted


def well(wanted: Wanted) -> list[Finding]:
    return [ok("well", f"the store is {wanted.store}")]


def chatty(wanted: Wanted) -> list[Finding]:
    print("said on stdout", flush=True)
    os.write(1, b"written to 1\n")
    os.write(2, b"written to 2\n")
    return [ok("chatty", "said much")]


def raising(wanted: Wanted) -> list[Finding]:
    raise LookupError("no such thing\nand more of it")


def hanging(wanted: Wanted) -> list[Finding]:
    time.sleep(1000)
    return [ok("hanging", "never said")]


def stubborn(wanted: Wanted) -> list[Finding]:
    """Takes no signal but the one that nobody can refuse."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    return hanging(wanted)


def tidying(wanted: Wanted) -> list[Finding]:
    """Has something to take back, as the probe of a store has."""
    file = Path(str(wanted.store))
    with undisturbed():
        file.touch()
        time.sleep(0.5)
        file.unlink()
    return hanging(wanted)


def dying(wanted: Wanted) -> list[Finding]:
    os.abort()


def leaving(wanted: Wanted) -> list[Finding]:
    sys.stdout = None
    os._exit(3)
