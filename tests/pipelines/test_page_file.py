"""Where a page goes: whole or not at all."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.errors import ConfigError, StoreError, StoreFull
from pipelines.page_file import PageFile


def test_folders_are_made_only_when_the_page_is_written(tmp_path: Path) -> None:
    file = PageFile.of(str(tmp_path / "a/b/page.html"))
    assert not list(tmp_path.iterdir())
    file.write(["<p>", "é\udc80"], "")
    assert (tmp_path / "a/b/page.html").read_bytes() == b"<p>\xc3\xa9\\udc80"
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["page.html"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoreError("lost"), OSError(errno.EIO, "no luck")])
def test_whatever_ends_the_writing_leaves_nothing_new_and_the_old_file(tmp_path: Path, error: BaseException) -> None:
    def pieces() -> Iterator[str]:
        yield "half"
        raise error

    old = tmp_path / "old.html"
    old.write_text("old")
    for path in (old, tmp_path / "a/b/page.html"):
        with pytest.raises(type(error) if not isinstance(error, OSError) else StoreError):
            PageFile.of(str(path)).write(pieces(), "")
    assert [path.name for path in tmp_path.rglob("*")] == ["old.html"]
    assert old.read_text() == "old"


def test_folders_of_somebody_else_stay(tmp_path: Path) -> None:
    def pieces() -> Iterator[str]:
        (tmp_path / "a/of-another").write_text("x")
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        PageFile.of(str(tmp_path / "a/b/page.html")).write(pieces(), "")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["of-another"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_with_its_numbers(small_disk: Path) -> None:
    with pytest.raises(StoreFull) as told:
        PageFile.of(str(small_disk / "new/page.html")).write(["x" * 10_000] * 20, "give less")
    text = str(told.value)
    assert text.startswith(f"no space is left for --out {small_disk}/new/page.html: ")
    assert "kB of the page were written, and 0 B are free; give less or write elsewhere" in text
    assert not list(small_disk.iterdir())


def test_a_place_that_may_not_be_written_is_told_before_the_work(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match="Read-only file system; check its permissions or write elsewhere"):
        PageFile.of(str(small_disk / "new/page.html"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied; check its permissions or write elsewhere"):
        PageFile.of(str(tmp_path / "new/page.html"))


def test_a_name_that_no_file_system_holds_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is too long"):
        PageFile.of(str(tmp_path / ("x" * 300 + ".html")))
