"""Drivers that die or leave, on a cluster that lives on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.places import ROOT
from tests.ray_head import NO_TOKEN, ray_head

pytestmark = pytest.mark.slow

Driver = subprocess.Popen[str]
StartDriver = Callable[[int], Driver]
GONE_TIMEOUT_S = 3 + 40
"""The client time-out of tests/actors/driver.py, and what a loaded machine takes beyond it."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of its own."""
    with ray_head(4) as head:
        yield head.address


@pytest.fixture
def start_driver(cluster: str, tiny_model: Path) -> Iterator[StartDriver]:
    """Starts drivers that make one video of so many steps."""
    drivers: list[Driver] = []

    def start(steps: int) -> Driver:
        command = [sys.executable, "-m", "tests.actors.driver", cluster, str(tiny_model), str(steps)]
        drivers.append(subprocess.Popen(command, cwd=ROOT, env=NO_TOKEN, stdout=subprocess.PIPE, text=True))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.kill()
        driver.wait()


def hear(driver: Driver, word: str) -> list[str]:
    """The words of the next line that starts with `word`."""
    assert driver.stdout is not None
    for line in driver.stdout:
        if line.startswith(word):
            return line.split()[1:]
    raise AssertionError(f"the driver ended before it said {word!r}")


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while alive := [pid for pid in pids if psutil.pid_exists(pid)]:
        assert time.monotonic() < deadline, f"workers {alive} are left"
        time.sleep(0.1)


def left_over(cluster: str) -> str:
    command = [sys.executable, "-m", "tests.actors.left_over", cluster]
    said = subprocess.run(command, cwd=ROOT, env=NO_TOKEN, capture_output=True, text=True, check=True).stdout
    return next(line for line in said.splitlines() if line.startswith("left"))


def test_a_driver_killed_in_mid_video_leaves_nothing(cluster: str, start_driver: StartDriver) -> None:
    driver = start_driver(1000)
    pids = [int(pid) for pid in hear(driver, "pids")]
    hear(driver, "busy")
    driver.kill()
    wait_until_gone(pids)
    assert left_over(cluster) == "left 0 [] []"


def test_two_drivers_share_a_pool_that_outlives_the_one_and_ends_with_the_other(
    cluster: str, start_driver: StartDriver
) -> None:
    first, second = start_driver(1000), start_driver(4)
    pids = hear(first, "pids")
    assert hear(second, "pids") == pids
    hear(first, "busy")
    first.kill()
    # The second one's video waits for both workers, which the killed driver's video holds.
    assert hear(second, "made") == ["(16,", "64,", "64,", "3)"]
    assert all(psutil.pid_exists(int(pid)) for pid in pids)
    os.kill(second.pid, signal.SIGINT)
    wait_until_gone([int(pid) for pid in pids])
    second.wait(30)
    assert left_over(cluster) == "left 0 [] []"
