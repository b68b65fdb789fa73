"""Processes of a local Ray that outlive their driver: Ray's agents linger for a minute when it is killed."""

import os
from pathlib import Path

import psutil

MARK = "PABCAST_STARTED_BY"
"""The environment variable with the mark, `pid:began:namespace`; one of another format needs another name."""
SWEEPS = 5
PATIENCE_S = 3.0
"""How long the processes of a driver that ends by itself have to end by themselves."""


def mark_this_driver() -> None:
    """Let the processes that are started from now on know their driver: its pid, when it began and where it counts."""
    os.environ[MARK] = _own_mark()


def unmark() -> None:
    """What is started from now on is nobody's."""
    os.environ.pop(MARK, None)


def end_orphans() -> int:
    """Kill the processes whose marked driver is gone, and what they start meanwhile; return how many there were."""
    # Started by what is gone by now, as from a shell that it had opened, we and ours are no orphans.
    kin = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    count = 0
    for _ in range(SWEEPS):
        # A raylet that was killed may just have started a worker, after the processes were listed.
        orphans = [process for process in psutil.process_iter() if process.pid not in kin and _is_orphan(process)]
        ended = _kill(orphans)
        count += ended
        if not ended:
            break
    return count


def end_own(patience_s: float = PATIENCE_S) -> None:
    """Wait for the processes that this driver's Ray started to end, and kill those that do not."""
    _, left = psutil.wait_procs(_own(), timeout=patience_s)
    for _ in range(SWEEPS):
        _kill(left)
        # One that was killed may just have started another.
        left = _own()
        if not left:
            return


def processes_of(driver: int) -> list[psutil.Process]:
    """The living processes of the local Ray that the process with this pid started, without itself."""
    return [process for process in psutil.process_iter() if process.pid != driver and _is_of(process, driver)]


def _is_of(process: psutil.Process, driver: int) -> bool:
    return _mark(process).startswith(f"{driver}:")


def _own() -> list[psutil.Process]:
    mark = _own_mark()
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _mark(process) == mark]


def _kill(processes: list[psutil.Process]) -> int:
    """How many of them ended."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue
    ended, _ = psutil.wait_procs(processes, timeout=PATIENCE_S)
    return len(ended)


def _own_mark() -> str:
    return f"{os.getpid()}:{_began(psutil.Process())}:{_namespace()}"


def _namespace() -> str:
    """Where this process's pids count, as containers have their own; empty where there is but one such place."""
    return str(Path("/proc/self/ns/pid").readlink()) if psutil.LINUX else ""


def _began(process: psutil.Process) -> str:
    """When it began, on a clock that nobody sets: `create_time` moves with every correction of the system's."""
    if not psutil.LINUX:
        return f"{process.create_time()}"
    try:
        # In ticks since the boot: field 22 of proc_pid_stat(5); the second one is a name in brackets.
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(process.pid) from error
    except PermissionError as error:
        raise psutil.AccessDenied(process.pid) from error


def _mark(process: psutil.Process) -> str:
    """The mark of a living process, empty if it has none or cannot be looked at."""
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return ""


def _is_orphan(process: psutil.Process) -> bool:
    driver, _, rest = _mark(process).partition(":")
    began, _, namespace = rest.partition(":")
    if not driver.isdigit() or namespace != _namespace():
        return False
    try:
        master = psutil.Process(int(driver))
        return _began(master) != began or master.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
