"""Whose process it is stays known, whatever the clock does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from pipelines.config import ClusterConfig
from pipelines.orphans import MARK, end_orphans, end_own, mark_this_driver, unmark
from pipelines.ray_session import ray_session

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that this one has started, as a driver starts Ray's."""
    monkeypatch.setenv(MARK, "")
    mark_this_driver()
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


@pytest.mark.skipif(not psutil.LINUX, reason="only there the clock is known to matter")
def test_a_clock_that_is_set_makes_nobody_an_orphan(
    own: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    began = psutil.Process().create_time()
    true_boot_time = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: true_boot_time + 1)
    assert psutil.Process().create_time() != began
    end_orphans()
    assert own.poll() is None
    end_own(patience_s=0)
    assert own.poll() is not None


@pytest.fixture
def foreign() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that a driver of another pid namespace has started; in this one nobody has that driver's pid."""
    process = subprocess.Popen(SLEEP, env={**os.environ, MARK: f"{gone_pid()}:1:pid:[1]"})
    yield process
    process.kill()
    process.wait()


def gone_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_by_a_gone_driver() -> psutil.Process:
    script = (
        "import subprocess, sys; from pipelines.orphans import mark_this_driver; mark_this_driver(); "
        f"print(subprocess.Popen({SLEEP!r}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
    )
    return psutil.Process(int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout))


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_what_a_gone_driver_left_is_ended() -> None:
    left = left_by_a_gone_driver()
    assert lives(left)
    assert end_orphans() >= 1
    assert not lives(left)


def test_what_orphans_start_while_they_are_listed_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    listed, started_later = left_by_a_gone_driver(), left_by_a_gone_driver()
    list_all = psutil.process_iter
    listings = iter([[listed]])
    monkeypatch.setattr(psutil, "process_iter", lambda: next(listings, None) or list_all())
    assert end_orphans() >= 2
    assert not lives(listed)
    assert not lives(started_later)


def test_a_job_that_ends_ends_what_was_left_while_it_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr("pipelines.ray_session.RayInit", Mock())
    monkeypatch.setattr("pipelines.ray_session._QUIET", {})
    monkeypatch.setattr("pipelines.ray_session._LOCAL", {})
    monkeypatch.setenv(MARK, "")
    with ray_session(ClusterConfig()):
        left = left_by_a_gone_driver()
        assert lives(left)
    assert not lives(left)


def test_who_looks_for_orphans_is_none_himself_nor_is_his_parent() -> None:
    """As a job that was started from a notebook whose kernel has been restarted."""
    look = "from pipelines.orphans import end_orphans; end_orphans(); print('alive')"
    shell = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {look!r}]); print('so is its parent')"
    orphan = {**os.environ, MARK: f"{gone_pid()}:1:{Path('/proc/self/ns/pid').readlink() if psutil.LINUX else ''}"}
    said = subprocess.run([sys.executable, "-c", shell], env=orphan, capture_output=True, text=True, timeout=60)
    assert said.stdout.splitlines() == ["alive", "so is its parent"]


def test_after_a_session_what_is_started_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, "")
    mark_this_driver()
    unmark()
    assert MARK not in os.environ


@pytest.mark.skipif(not psutil.LINUX, reason="pids have namespaces only there")
def test_what_belongs_to_another_pid_namespace_is_left_alone(foreign: "subprocess.Popen[bytes]") -> None:
    end_orphans()
    assert foreign.poll() is None


def test_a_job_of_a_version_with_another_mark_is_left_alone() -> None:
    process = subprocess.Popen(SLEEP, env={**os.environ, "PABCAST_DRIVER": f"{gone_pid()}:1.5"})
    end_orphans()
    lived = process.poll() is None
    process.kill()
    process.wait()
    assert lived


@pytest.mark.skipif(not psutil.LINUX, reason="/proc is only there")
@pytest.mark.parametrize(("error", "is_ended"), [(PermissionError, False), (ProcessLookupError, True)])
def test_a_driver_that_cannot_be_looked_at_is_no_error(
    own: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch, error: type[OSError], is_ended: bool
) -> None:
    read = Path.read_text

    def refuse(path: Path) -> str:
        if path == Path(f"/proc/{os.getpid()}/stat"):
            raise error
        return read(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    end_orphans()
    assert (own.poll() is not None) == is_ended
