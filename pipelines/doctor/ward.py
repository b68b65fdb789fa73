"""Checks that run beside each other, each in a process of its own: none can hang, and none can take others along."""

import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from pipelines.doctor.finding import Finding, failed
from pipelines.doctor.wanted import Wanted

BEDS = 4
"""As many checks run at once: most of their time is that of imports, on the processor."""
GRACE_S = 5
"""How long a check may outlive the command that was killed."""

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


@dataclass(frozen=True)
class _Patient:
    """A check that runs."""

    place: int
    check: Check
    process: SpawnProcess
    answer: Connection
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
                running.append(_admit(*waiting.popleft(), wanted, verbose))
            until = min(patient.deadline for patient in running)
            answered = wait([patient.answer for patient in running], max(0.0, until - time.monotonic()))
            for patient in list(running):
                if patient.answer in answered or time.monotonic() >= patient.deadline:
                    running.remove(patient)
                    found[patient.place] = _discharge(patient, patient.answer in answered)
    finally:
        for patient in running:
            _end(patient)
    return [finding for place in sorted(found) for finding in found[place]]


def _admit(place: int, check: Check, wanted: Wanted, verbose: bool) -> _Patient:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, check, wanted, verbose), daemon=True)
    process.start()
    theirs.close()
    return _Patient(place, check, process, ours, time.monotonic() + check.limit_s)


def _discharge(patient: _Patient, has_answered: bool) -> list[Finding]:
    name, limit_s = patient.check.name, patient.check.limit_s
    try:
        if not has_answered:
            return [failed(name, f"no answer within {limit_s:g} s", "see what keeps it, or try again")]
        answer: list[Finding] = patient.answer.recv()
        return answer
    except EOFError:
        patient.process.join(GRACE_S)
        end = _spell_end(patient.process.exitcode)
        return [failed(name, f"the process that looked at it {end}", "reinstall what it loads; --verbose shows more")]
    finally:
        _end(patient)


def _end(patient: _Patient) -> None:
    patient.process.kill()
    patient.process.join()
    patient.process.close()
    patient.answer.close()


def _spell_end(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with {code}"
    return f"was ended by {signal.Signals(-code).name}"


def _answer(answer: Connection, check: Check, wanted: Wanted, verbose: bool) -> None:
    """The life of a check's process."""
    signal.alarm(int(check.limit_s) + GRACE_S)
    # What libraries print belongs to no line: stdout is the command's.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(2 if verbose else nowhere, 1)
    if not verbose:
        os.dup2(nowhere, 2)
    try:
        found = check.look(wanted)
    except Exception as error:
        traceback.print_exception(error)
        first = (str(error).splitlines() or [""])[0]
        found = [failed(check.name, f"unexpected {type(error).__name__}: {first}", "--verbose shows where")]
    answer.send(found)
