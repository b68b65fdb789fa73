"""Processes of a local Ray whose driver was killed. Most end with it; Ray's agents linger for a minute."""

import os

import psutil

MARK = "PABCAST_DRIVER"


def mark_this_driver() -> None:
    """Let the processes that are started from now on know their driver: its pid and when it began."""
    os.environ[MARK] = f"{os.getpid()}:{psutil.Process().create_time()}"


def end_orphans() -> int:
    """Kill the processes whose marked driver is gone; return how many there were."""
    orphans = [process for process in psutil.process_iter() if _is_orphan(process)]
    for process in orphans:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(orphans, timeout=5)
    return len(orphans)


def _is_orphan(process: psutil.Process) -> bool:
    try:
        driver, _, began = process.environ().get(MARK, "").partition(":")
        if not driver.isdigit():
            return False
        master = psutil.Process(int(driver))
        return master.create_time() != float(began) or master.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess as error:
        # The driver is gone, unless it is the process itself that has just ended.
        return error.pid != process.pid
    except (psutil.Error, OSError, ValueError):
        return False
