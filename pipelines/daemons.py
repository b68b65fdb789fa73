"""The processes that a local Ray cannot do without, and whether they live."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from cluster.errors import ClusterError

DAEMONS = ("raylet", "gcs_server")
_HOLD_S = 0.5
_FATAL = (signal.SIGTERM, signal.SIGKILL)


class RayLost(ClusterError):
    """A local Ray has lost a process that it cannot do without; nobody may ask it for anything any more."""


class Daemons:
    """The raylet, the gcs_server and their helpers that this process has started; none if its Ray is a cluster.

    Ray itself notices a death of theirs after 15 to 60 seconds, and then ends this process without a word.
    """

    def __init__(self) -> None:
        self._processes: list[tuple[str, psutil.Process]] = []
        self._held_s = 0.0
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                self._processes.append((process.name(), process))

    def dead(self) -> str:
        """The raylet or gcs_server that has died, by its name and pid; empty while both live."""
        gone = (f"{name} (pid {process.pid})" for name, process in self._gone() if name in DAEMONS)
        return next(gone, "")

    def ending(self) -> bool:
        """Whether any of them has died or is told to end: a raylet takes ten seconds for it, its log monitor none."""
        return any(not _lives(process) or _told(process) for _, process in self._processes)

    def hold(self) -> None:
        """Stop the raylet until `let_go`.

        Where all processes are told to end at once, as a batch system does, it sometimes ends within 0.1 s, and this
        process, as Ray has it, with it and without a word.
        """
        self._held_s = time.monotonic()
        self._signal(signal.SIGSTOP)

    def let_go(self) -> None:
        """Let a held raylet go on, unless it or the others are told to end, or have died meanwhile."""
        while time.monotonic() - self._held_s < _HOLD_S:
            if self.ending():
                return
            time.sleep(_HOLD_S / 10)
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for name, process in self._processes:
            if name == "raylet":
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)

    def _gone(self) -> Iterator[tuple[str, psutil.Process]]:
        return ((name, process) for name, process in self._processes if not _lives(process))


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _told(process: psutil.Process) -> bool:
    """Whether a signal that ends it waits for the process: for its turn on a busy machine, or for SIGCONT.

    Linux keeps it with one that has no handler until it is reaped; elsewhere nobody can see it.
    """
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False
    masks = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:")))
    return any(mask >> (number - 1) & 1 for mask in masks for number in _FATAL)
