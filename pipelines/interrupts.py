"""Ctrl-C and SIGTERM: they stop a command, softly while its job runs, and at once when they are repeated."""

import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = "\x1b[?25h"
INTERRUPTED = 130
AGAIN_S = 0.02
"""How long after Python dropped an interrupt it is sent again: by then, what dropped it has returned."""


class _Listener(ABC):
    """Takes the signals inside a `with`; outside the main thread, where Python takes none, it hears nothing."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Any:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @abstractmethod
    def _hear(self, number: int, frame: FrameType | None) -> None:
        """A signal has come."""


class Interrupts(_Listener):
    """For a job: the first signal calls `at_first`, and the job stops by itself; the next do what they did before."""

    def __init__(self, at_first: Callable[[], None]) -> None:
        super().__init__()
        self.count = 0
        self._at_first = at_first

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            self._at_first()
        before = self._before.get(signal.Signals(number))
        if self.count > 1:
            if callable(before):
                before(number, frame)
            raise KeyboardInterrupt


class Brake(_Listener):
    """For a whole command: the first signal raises KeyboardInterrupt, the next ends it and its processes at once.

    Where Python drops an exception, as in the callbacks that end an import's locks, the signal is sent once more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0
        self._tell_dropped = sys.unraisablehook

    def __enter__(self) -> "Brake":
        super().__enter__()
        self._tell_dropped, sys.unraisablehook = sys.unraisablehook, self._dropped
        return self

    def __exit__(self, *what: object) -> None:
        sys.unraisablehook = self._tell_dropped
        super().__exit__(*what)

    def _dropped(self, what: "sys.UnraisableHookArgs") -> None:
        if what.exc_type is not KeyboardInterrupt:
            self._tell_dropped(what)
            return
        self.heard = 0
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT)).start()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard += 1
        if self.heard == 1:
            raise KeyboardInterrupt
        _end_at_once()


def listen_again() -> None:
    """Take SIGTERM back from Ray, whose C++ puts a handler over Python's that prints a stack and aborts."""
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _end_at_once() -> None:
    """End this process and those of its local Ray, without a word and without waiting for anything."""
    if "pipelines.orphans" in sys.modules:
        from pipelines.orphans import end_own

        end_own(patience_s=0)
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
    os._exit(INTERRUPTED)
