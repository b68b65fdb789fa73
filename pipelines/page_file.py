"""The file of the page: looked at before the work, and written whole or not at all."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cluster.errors import ConfigError, StoreError, StoreFull
from pipelines.commands.output import spell_bytes
from pipelines.given_paths import user_path

SUFFIXES = (".html", ".htm")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class PageFile:
    """A path that can be written, as far as it can be told without writing; nothing is made there before `write`."""

    path: Path

    @classmethod
    def of(cls, text: str) -> Self:
        """The file that a person named.

        Raises:
            ConfigError: it can be no HTML file.
            StoreError: it may not be written.
        """
        if not text.strip():
            raise ConfigError("--out is empty; give a file, as in --out report.html")
        path = user_path(text, "--out")
        with _explained(path):
            if path.is_dir():
                raise ConfigError(f"--out {path} is a folder; give a file in it, as in --out {path / 'report.html'}")
            if path.suffix.lower() not in SUFFIXES:
                raise ConfigError(f"--out is {path}; the report is an HTML page, give it the suffix .html")
            if path.exists() and not path.is_file():
                raise ConfigError(f"--out {path} is a pipe or a device; a file is wanted")
            if path.exists():
                path.open("r+b").close()
            above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
            if not above.is_dir():
                raise ConfigError(f"--out {path}: {above} is no folder; give a file in one")
            tempfile.TemporaryFile(dir=above).close()
        return cls(path)

    def write(self, pieces: Iterable[str], way_out: str) -> None:
        """Write the text of `pieces`, and the folders above it that are not there; `way_out` is for a full disk.

        Whatever ends it, an old file stays as it was, and nothing new is left. Raises `StoreError`.
        """
        folder = self.path.absolute().parent
        missing = [above for above in (folder, *folder.parents) if not above.exists()]
        temporary = folder / f".{uuid.uuid4().hex}.part"
        try:
            with _explained(self.path, temporary, way_out):
                folder.mkdir(parents=True, exist_ok=True)
                with temporary.open("x", encoding="utf-8", errors="backslashreplace") as page:
                    page.writelines(pieces)
                temporary.replace(self.path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
                for made in missing:
                    made.rmdir()
            raise


@contextmanager
def _explained(path: Path, temporary: Path | None = None, way_out: str = "free some") -> Iterator[None]:
    """Turn `OSError` into one sentence, for a full disk with the numbers."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise StoreError(
                f"--out {path} cannot be written: {error.strerror or error}; check its permissions or write elsewhere"
            ) from error
        written, free = 0, 0
        with suppress(OSError):
            free = shutil.disk_usage(next(above for above in path.absolute().parents if above.exists())).free
            written = temporary.stat().st_size if temporary else 0
        raise StoreFull(
            f"no space is left for --out {path}: {spell_bytes(written)} of the page were written, and "
            f"{spell_bytes(free)} are free; {way_out} or write elsewhere"
        ) from error
