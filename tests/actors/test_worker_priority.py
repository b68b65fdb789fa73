"""On a CPU the threads of a worker that compute give way to those that answer."""

import os
import sys
import threading

import pytest

from actors.worker import _LEAST_PRIORITY, _give_way


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
def test_only_the_thread_that_computes_and_those_it_starts_give_way() -> None:
    before, found = niceness(), []

    def compute() -> None:
        _give_way()
        found.append(niceness())
        started = threading.Thread(target=lambda: found.append(niceness()))
        started.start()
        started.join()

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert found == [_LEAST_PRIORITY, _LEAST_PRIORITY]
    assert niceness() == before
