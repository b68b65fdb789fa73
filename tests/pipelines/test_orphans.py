"""Whose process it is stays known, whatever the clock does."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from pipelines.orphans import MARK, end_orphans, end_own, mark_this_driver

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


def test_what_a_gone_driver_left_is_ended() -> None:
    script = (
        "import subprocess, sys; from pipelines.orphans import mark_this_driver; mark_this_driver(); "
        f"print(subprocess.Popen({SLEEP!r}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
    )
    left = psutil.Process(int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout))
    assert left.is_running()
    assert end_orphans() >= 1
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
