"""Runs a command and holds each of its workers to a share of a core, so that few cores are as many slow workers.

    python infra/benchmarks/hold.py 0.4 pabcast bench elastic --steps 6 --plot gangs.png

Linux, as root. Workers are the processes named ray::Worker… and, of `pabcast bench calibrate`, every one. The kernel
gives each its share in every 10 ms (CFS bandwidth, cgroup v1 or v2).
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

PERIOD_US = 10_000
LOOK_EVERY_S = 0.1
V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


def main(share: float, command: list[str]) -> int:
    """Run `command` to its end; returns its exit status."""
    held: dict[int, Path] = {}
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            for worker in workers(process.pid):
                if worker.pid not in held:
                    held[worker.pid] = hold(worker.pid, share)
            time.sleep(LOOK_EVERY_S)
    finally:
        for pid, group in held.items():
            if not psutil.pid_exists(pid):
                group.rmdir()
    return process.returncode


def workers(pid: int) -> Iterator[psutil.Process]:
    """The workers among the processes that `pid` has started."""
    for process in psutil.Process(pid).children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if line.startswith("ray::Worker") or "bench calibrate" in line or "multiprocessing.spawn" in line:
            yield process


def hold(pid: int, share: float) -> Path:
    """Give a process a group of its own with so much of a core; returns the group's folder."""
    quota = int(share * PERIOD_US)
    if (V1 / "cpu.cfs_quota_us").exists():
        group = V1 / f"pabcast-{pid}"
        limits = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}
    else:
        group, limits = V2 / f"pabcast-{pid}", {"cpu.max": f"{quota} {PERIOD_US}"}
    group.mkdir(exist_ok=True)
    for name, value in limits.items():
        (group / name).write_text(value)
    (group / "cgroup.procs").write_text(str(pid))
    return group


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
