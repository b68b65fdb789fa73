"""The processes of a local Ray: whether they live, or are about to end."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from pipelines.daemons import Daemons


@contextmanager
def child(code: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A Python that runs this and waits; entered once it waits."""
    command = [sys.executable, "-c", f"import signal, time; {code}; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_daemon_that_does_not_listen_is_ending_from_the_moment_it_is_told_to() -> None:
    with child("pass") as process:
        daemons = Daemons()
        assert not daemons.ending()
        process.terminate()
        assert daemons.ending()


def test_a_held_daemon_that_is_told_to_end_is_ending_though_it_lives() -> None:
    with child("signal.signal(signal.SIGTERM, lambda *_: None)") as process:
        daemons = Daemons()
        process.send_signal(signal.SIGSTOP)
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        assert not daemons.ending()
        process.terminate()
        assert daemons.ending()
        assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
