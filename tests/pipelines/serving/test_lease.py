"""One endpoint a store."""

import threading
import time
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from pipelines.serving import lease
from pipelines.serving.lease import KEY, StoreLease
from pipelines.store import LocalStore


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.3)


def test_a_store_that_was_freed_or_is_held_by_oneself_is_had_at_once(tmp_path: Path) -> None:
    first, second = (StoreLease(LocalStore(tmp_path), holder) for holder in ("a", "b"))
    said: list[str] = []
    first.take(said.append)
    first.take(said.append)
    first.free()
    second.take(said.append)
    assert said == []
    assert second.renew() and not first.renew()
    first.free()
    assert second.renew(), "only its holder frees it"


def test_a_holder_that_is_silent_loses_it(tmp_path: Path) -> None:
    first, second = (StoreLease(LocalStore(tmp_path), holder) for holder in ("a", "b"))
    first.take()
    said: list[str] = []
    second.take(said.append)
    assert "was another endpoint's" in said[0]
    assert not first.renew()


def test_a_holder_that_lives_keeps_it(tmp_path: Path) -> None:
    first, second = (StoreLease(LocalStore(tmp_path), holder) for holder in ("a", "b"))
    first.take()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.05):
            first.renew()

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with pytest.raises(ClusterError, match=r"another endpoint uses store\.uri"):
            second.take()
    finally:
        ended.set()
        beating.join()
    assert first.renew()


def test_a_damaged_lease_is_as_none(tmp_path: Path) -> None:
    LocalStore(tmp_path).put(KEY, b"{")
    begun = time.monotonic()
    StoreLease(LocalStore(tmp_path), "a").take()
    assert time.monotonic() - begun < 0.3
