"""A client's sign of life to its pool."""

import contextlib
import threading
import time
from typing import Any

import ray

GONE_TIMEOUT_S = 15.0


def beat_s(timeout_s: float) -> float:
    """Seconds between a client's signs of life."""
    return min(2.0, timeout_s / 4)


class Heartbeat:
    """A thread that tells the pool, several times a time-out, that this client is there."""

    def __init__(self, actor: Any, client: str, owner: str, timeout_s: float) -> None:
        self._actor = actor
        self._client = client
        self._owner = owner
        self._interval_s = beat_s(timeout_s)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pabcast-heartbeat", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = GONE_TIMEOUT_S) -> None:
        """Say goodbye; if this was the last client, wait until the pool is gone or `timeout_s` are over."""
        self._stopped.set()
        self._thread.join()
        if not ray.is_initialized():
            return
        deadline = time.monotonic() + timeout_s
        with contextlib.suppress(ray.exceptions.RayError):
            if ray.get(self._actor.detach.remote(self._client), timeout=timeout_s):
                while time.monotonic() < deadline:
                    with contextlib.suppress(ray.exceptions.GetTimeoutError):
                        ray.get(self._actor.status.remote(), timeout=1)
                    time.sleep(0.05)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            # A pool that is gone is noticed by whoever asks it for something.
            with contextlib.suppress(ray.exceptions.RayError, RuntimeError):
                self._actor.beat.remote(self._client, self._owner)
