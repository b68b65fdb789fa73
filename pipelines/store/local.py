"""A folder as a store: temporary files that are renamed or linked into place."""

import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from cluster.errors import StoreError, StoreFull
from pipelines.store.interface import NotFound, StoredObject, check_key

TEMPORARY_SUFFIX = ".part"
LOCK_NAME = ".pabcast.lock"
_TEMPORARY = re.compile(rf"^\.[0-9a-f]{{32}}{re.escape(TEMPORARY_SUFFIX)}$")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


class LocalStore:
    """A folder; it is made by the first write."""

    _LEADS_NOWHERE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG})

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self.root)

    def put(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write or overwrite an object atomically; `content_type` means nothing here."""
        with self._explained():
            temporary = self._write_temporary(key, lambda file: file.write(data))
            self._replace(temporary, self._path(key))

    def put_file(self, key: str, path: Path, content_type: str | None = None) -> None:
        """Like `put`, from a local file."""
        with self._explained(), path.open("rb") as source:
            temporary = self._write_temporary(key, lambda file: shutil.copyfileobj(source, file, 1 << 20))
            self._replace(temporary, self._path(key))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken: a hard link to a complete file is an atomic exclusive create."""
        path = self._path(key)
        with self._explained():
            temporary = self._write_temporary(key, lambda file: file.write(data))
            try:
                os.link(temporary, path)
                return True
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return self._put_under_lock(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        """The whole object; `NotFound` if there is none."""
        with self._explained(key):
            return self._path(key).read_bytes()

    def open(self, key: str) -> BinaryIO:
        """The file, open for reading."""
        with self._explained(key):
            return self._path(key).open("rb")

    def stat(self, key: str) -> StoredObject | None:
        """Size and time of an object, or None."""
        path = self._path(key)
        try:
            with self._explained(key):
                status = path.stat()
        except NotFound:
            return None
        if not path.is_file():
            return None
        return StoredObject(key=key, size=status.st_size, modified=status.st_mtime)

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""
        return self.stat(key) is not None

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """The objects whose keys start with `prefix`, in the order of their keys, a folder at a time.

        Pipes, sockets, devices and links that lead nowhere are no objects: to open one may wait for ever.
        """
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        yield from self._walk(self.root / folder, f"{folder}/" if folder else "", prefix)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self._explained():
            self._path(key).unlink(missing_ok=True)

    def hurried(self, total_s: float) -> Self:
        """Itself: a folder has no time-outs."""
        return self

    def sweep(self, before: float) -> int:
        """Remove temporary files of killed writers, last written before a time; how many there were."""
        removed = 0
        with self._explained():
            for path in self.root.rglob(f".*{TEMPORARY_SUFFIX}"):
                with suppress(FileNotFoundError):
                    if _TEMPORARY.match(path.name) and path.stat().st_mtime < before:
                        path.unlink()
                        removed += 1
        return removed

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _write_temporary(self, key: str, write: Callable[[BinaryIO], object]) -> Path:
        """Write a complete file beside the final one, flushed to the disk; nothing is left behind by a failure."""
        folder = self._path(key).parent
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{uuid.uuid4().hex}{TEMPORARY_SUFFIX}"
        try:
            with temporary.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    @staticmethod
    def _replace(temporary: Path, path: Path) -> None:
        try:
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @staticmethod
    def _put_under_lock(temporary: Path, path: Path) -> bool:
        """For file systems without hard links. The kernel drops the lock of a writer that dies, so none goes stale."""
        with (path.parent / LOCK_NAME).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return False
            temporary.replace(path)
            return True

    def _walk(self, folder: Path, before: str, prefix: str) -> Iterator[StoredObject]:
        with self._explained():
            try:
                entries = [
                    (f"{before}{entry.name}/" if entry.is_dir() else before + entry.name, entry)
                    for entry in os.scandir(folder)
                    if not _is_internal(entry.name) and self._is_there(entry)
                ]
            except FileNotFoundError:
                return
        for key, entry in sorted(entries, key=lambda pair: pair[0].encode("utf-8", "surrogateescape")):
            if key.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(Path(entry.path), key, prefix)
            elif key.startswith(prefix):
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    yield StoredObject(key=key, size=status.st_size, modified=status.st_mtime)

    def _is_there(self, entry: os.DirEntry[str]) -> bool:
        """Whether it is a file or a folder, or a link to one."""
        try:
            return entry.is_dir() or entry.is_file()
        except OSError as error:
            if entry.is_symlink() and error.errno in self._LEADS_NOWHERE:
                return False
            raise

    @contextmanager
    def _explained(self, key: str | None = None) -> Iterator[None]:
        """Turn `OSError` into one sentence with the way out."""
        try:
            yield
        except FileNotFoundError as error:
            if key is not None:
                raise NotFound(f"{self.root} has no {key}") from error
            raise StoreError(f"{self.root} cannot be made there, or was removed; give another folder") from error
        except (NotADirectoryError, IsADirectoryError) as error:
            if key is not None and self.root.is_dir():
                raise NotFound(f"{self.root} has no {key}") from error
            raise StoreError(f"{self.root} or a folder above it is a file; give a folder") from error
        except FileExistsError as error:
            raise StoreError(f"{self.root} or a folder above it is a file; give a folder") from error
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFull(f"no space is left in {self.root}; free some or write elsewhere") from error
            if key is not None:
                raise StoreError(
                    f"{self.root / key} cannot be read: {error.strerror}; check its permissions"
                ) from error
            raise StoreError(
                f"{self.root} cannot be used: {error.strerror}; check its permissions or give another folder"
            ) from error


def _is_internal(name: str) -> bool:
    return name == LOCK_NAME or _TEMPORARY.match(name) is not None
