"""Background work on one event loop."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger("pabcast.pool")


class StartAgain(Exception):
    """Only a new process of the pool helps."""


class Tasks:
    """Tasks that are kept until they end; an error that nobody expected is told to `failed`.

    `StartAgain` ends this process: Ray starts the pool again, and its clients go on with that.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start one."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """End all."""
        for task in self._tasks:
            task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the pool failed", exc_info=task.exception())
            if isinstance(task.exception(), StartAgain):
                os._exit(1)
            self._failed(f"the pool failed: {task.exception()!r}")
