"""Folders: full, read-only, without links, and never half a file."""

import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.errors import StoreError, StoreFull
from pipelines.store import LocalStore, probe
from tests.pipelines.racing import race_processes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB; only root can mount it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_leaves_no_part(small_disk: Path) -> None:
    store = LocalStore(small_disk)
    store.put("kept", b"x" * 1000)
    for put in (store.put, store.put_if_absent):
        with pytest.raises(StoreFull, match=r"no space is left in .*disk; free some"):
            put("big", bytes(2 << 20))
    assert [path.name for path in small_disk.iterdir()] == ["kept"]


def test_a_probe_of_a_full_disk_says_so(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes((1 << 20) - 8192))
    with pytest.raises(OSError, match="No space"):
        (small_disk / "more").write_bytes(bytes(1 << 20))
    with pytest.raises(StoreFull, match="no space"):
        probe(LocalStore(small_disk / "out"))


def test_a_read_only_file_system_is_told_in_one_sentence(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match=r"cannot be used: Read-only file system; check"):
        probe(LocalStore(small_disk / "out"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_told_in_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match=r"cannot be used: Permission denied; check"):
        probe(LocalStore(tmp_path / "out"))
    tmp_path.chmod(0o700)


def test_a_path_that_is_a_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for root in ("file", "file/below"):
        with pytest.raises(StoreError, match="is a file; give a folder"):
            probe(LocalStore(tmp_path / root))
        with pytest.raises(StoreError, match="is a file; give a folder"):
            LocalStore(tmp_path / root).get("key")


def test_a_probe_leaves_no_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "new")
    assert probe(store).conditional_put == "lock"
    assert list(store.list()) == []


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on exFAT and some network file systems."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_links")
def test_without_hard_links_one_racer_wins_and_nothing_else_is_listed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert probe(store).conditional_put == "lock"
    for round_ in range(10):
        barrier = threading.Barrier(8)

        def race(racer: int, key: str = f"c/{round_}", barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return store.put_if_absent(key, b"%d" % racer)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(race, range(8))) == 1
    assert [item.key for item in store.list()] == sorted(f"c/{round_}" for round_ in range(10))


def test_what_a_killed_writer_left_is_not_listed_and_swept_later(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a", b"x")
    left, not_ours = tmp_path / f".{'0' * 32}.part", tmp_path / ".download.part"
    for path in (left, not_ours):
        path.write_bytes(b"half")
    assert [item.key for item in store.list()] == [".download.part", "a"]
    assert store.sweep(time.time() - 60) == 0
    assert store.sweep(time.time() + 60) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".download.part", "a"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("key", bytes(1 << 20))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.put("key", bytes(1 << 20))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(len(store.get("key")) == 1 << 20 for _ in range(200))
    finally:
        stop.set()
        writer.join()


RACER = """
import sys, time
from pipelines.store import LocalStore
store, racer = LocalStore(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
start, wins = float(input()), 0
for round_ in range(10):
    while time.time() < start + round_ * 0.05:
        pass
    wins += store.put_if_absent(f"race/{round_}", racer.encode())
print(wins)
"""


def test_of_eight_racing_processes_one_wins_each_round(tmp_path: Path) -> None:
    assert sum(race_processes(RACER, tmp_path, 8)) == 10
    assert len(list((tmp_path / "race").iterdir())) == 10


def test_a_folder_that_cannot_be_made_is_told() -> None:
    with pytest.raises(StoreError, match="/proc/nowhere cannot be made there, or was removed; give another folder"):
        LocalStore("/proc/nowhere").put("key", b"x")


def test_a_link_that_leads_nowhere_is_no_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a", b"x")
    for name, target in {"b": "b", "c": "gone", "d": "a/b", "e": "f" * 300}.items():
        (tmp_path / name).symlink_to(target)
    assert [item.key for item in store.list()] == ["a"]
    with pytest.raises(StoreError, match="cannot be used"):  # a folder that cannot be read is not an empty one
        list(store.list("b/"))
