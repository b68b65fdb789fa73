"""Checks that run beside each other, each in a process of its own: none can hang, and none can take others along."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from pipelines.doctor.finding import Finding, failed
from pipelines.doctor.wanted import Wanted

BEDS = 4
"""As many checks run at once: most of their time is that of imports, on the processor."""
END_S = 5.0
TIDY_S = 2.0
"""For a check that is ended before its time to take back what it wrote: it hears SIGTERM first."""

Look = Callable[[Wanted], list[Finding]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing to look at."""

    name: str
    look: Look
    """A function of a module, so that another process finds it."""
    limit_s: float = 60.0
    """It is ended then, and has failed. Imports count, which take long on a busy machine: waits for others have shorter
    limits of their own."""


@dataclass(frozen=True, eq=False)
class _Patient:
    """A check that runs."""

    place: int
    check: Check
    process: "subprocess.Popen[bytes]"
    deadline: float


def examine(checks: Sequence[Check], wanted: Wanted, *, verbose: bool = False) -> list[Finding]:
    """What the checks find, in their order; one that raises, dies or takes too long has failed.

    `verbose` lets what they and their libraries print through to stderr.
    """
    waiting = deque(enumerate(checks))
    running: list[_Patient] = []
    found: dict[int, list[Finding]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < BEDS:
                place, check = waiting.popleft()
                running.append(_Patient(place, check, _start(verbose), time.monotonic() + check.limit_s))
                _hand_over(running[-1], wanted)
            answered = _wait(running)
            for patient in [patient for patient in running if patient in answered or _is_late(patient)]:
                if patient in answered:
                    found[patient.place] = _discharge(patient)
                else:
                    found[patient.place] = [_too_late(patient.check)]
                    _stop([patient])
                _end(patient)
                running.remove(patient)
    finally:
        _stop(running)
        for patient in running:
            _end(patient)
    return [finding for place in sorted(found) for finding in found[place]]


def _start(verbose: bool) -> "subprocess.Popen[bytes]":
    """In a session of its own: a Ctrl-C is this process's, which ends its checks."""
    path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pipelines.doctor.examination"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if verbose else subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


def _hand_over(patient: _Patient, wanted: Wanted) -> None:
    """One that was never given anything ends by itself."""
    assert patient.process.stdin is not None
    with suppress(BrokenPipeError), patient.process.stdin as stdin:
        stdin.write(pickle.dumps((patient.check, wanted)))


def _wait(running: Sequence[_Patient]) -> list[_Patient]:
    """Those that answer or end before the first of them is late."""
    left_s = min(patient.deadline for patient in running) - time.monotonic()
    answers = {patient.process.stdout.fileno(): patient for patient in running if patient.process.stdout}
    return [answers[number] for number in wait(list(answers), max(0.0, left_s)) if isinstance(number, int)]


def _is_late(patient: _Patient) -> bool:
    return time.monotonic() >= patient.deadline


def _too_late(check: Check) -> Finding:
    return failed(check.name, f"no answer within {check.limit_s:g} s", "see what keeps it, or try again")


def _discharge(patient: _Patient) -> list[Finding]:
    assert patient.process.stdout is not None
    answer = patient.process.stdout.read()
    if answer:
        found: list[Finding] = pickle.loads(answer)
        return found
    with suppress(subprocess.TimeoutExpired):
        patient.process.wait(END_S)
    end = f"the process that looked at it {_spell_end(patient.process.returncode)}"
    return [failed(patient.check.name, end, "reinstall what it loads; --verbose shows more")]


def _stop(patients: Sequence[_Patient]) -> None:
    """Ask them to end, and wait for those that have something to take back first."""
    for patient in patients:
        patient.process.terminate()
    deadline = time.monotonic() + TIDY_S
    for patient in patients:
        with suppress(subprocess.TimeoutExpired):
            patient.process.wait(max(0.0, deadline - time.monotonic()))


def _end(patient: _Patient) -> None:
    """With what it has started, which is in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(patient.process.pid, signal.SIGKILL)
    patient.process.wait()
    if patient.process.stdout:
        patient.process.stdout.close()


def _spell_end(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with {code}"
    return f"was ended by {signal.Signals(-code).name}"
