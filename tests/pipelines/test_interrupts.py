"""Signals that come at an unlucky moment."""

import signal
import sys
import time
import weakref

import pytest

from pipelines.interrupts import Brake


class _Something:
    pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_drops_comes_again(number: signal.Signals) -> None:
    """In a weak reference's callback, of which each import has one, nothing can be raised."""
    something = _Something()
    kept = weakref.ref(something, lambda _: signal.raise_signal(number))
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Brake() as brake:
        del something
        time.sleep(30)
    assert time.monotonic() - begun < 10
    assert brake.heard == 1
    assert kept() is None


def test_other_errors_that_python_drops_are_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_type))
    something = _Something()
    with Brake() as brake:
        kept = weakref.ref(something, lambda _: [][0])
        del something
    assert kept() is None
    assert told == [IndexError]
    assert brake.heard == 0
