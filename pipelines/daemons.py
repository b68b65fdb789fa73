"""The processes that a local Ray cannot do without, and whether they live."""

import contextlib

import psutil

from cluster.errors import ClusterError

DAEMONS = ("raylet", "gcs_server")


class RayLost(ClusterError):
    """A local Ray has lost a process that it cannot do without; nobody may ask it for anything any more."""


class Daemons:
    """The raylet and the gcs_server that this process has started; none if its Ray is a cluster.

    Ray itself notices a death of theirs after 15 to 60 seconds, and then ends this process without a word.
    """

    def __init__(self) -> None:
        self._processes: list[tuple[str, psutil.Process]] = []
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if process.name() in DAEMONS:
                    self._processes.append((process.name(), process))

    def dead(self) -> str:
        """The first of them that has died, by its name and pid; empty while all live."""
        return next((f"{name} (pid {process.pid})" for name, process in self._processes if not _lives(process)), "")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
