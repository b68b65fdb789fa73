"""`ray.init` in a thread of its own."""

import threading
from typing import Any

from pipelines.interrupts import listen_again

_LISTEN_EVERY_S = 0.05


class RayInit(threading.Thread):
    """Starts Ray where it cannot take SIGTERM for itself, and where no interrupt is raised in the middle of it.

    The thread lives until `end`: the processes of a local Ray die with the thread that has started them.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(name="ray-init", daemon=True)
        self._how = how
        self._started_ray = threading.Event()
        self._over = threading.Event()
        self._problem: BaseException | None = None

    def run(self) -> None:
        """The thread's work."""
        import ray

        try:
            ray.init(**self._how)
        except BaseException as error:
            self._problem = error
        self._started_ray.set()
        self._over.wait()

    def wait(self) -> None:
        """Wait until Ray runs; raises what `ray.init` did."""
        while not self._started_ray.wait(_LISTEN_EVERY_S):
            listen_again()
        listen_again()
        if self._problem is not None:
            raise self._problem

    def end(self) -> None:
        """Let the thread go."""
        self._over.set()
