"""A folder that somebody else may have filled: what leads out of it, or is no file, is not opened."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cluster.errors import StoreError
from pipelines.store.interface import Store, StoredObject
from pipelines.store.local import LocalStore


class Outside(StoreError):
    """A key whose file is elsewhere, or is a pipe or a device; the message begins with "is"."""


def confined(store: Store) -> Store:
    """`store` for reading, without what is not its own; a bucket has no links, and is returned as it is."""
    return ConfinedFolder(store.root) if isinstance(store, LocalStore) else store


class ConfinedFolder(LocalStore):
    """A folder whose links are followed as long as they stay in it, and whose linked folders are not listed.

    A key that leads out of it, or to a pipe or a device, raises `Outside`; a listing leaves it out.
    """

    _LEADS_NOWHERE = LocalStore._LEADS_NOWHERE | {errno.EACCES}

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        self._real_root = Path(os.path.realpath(self.root))

    def __repr__(self) -> str:
        return f"ConfinedFolder({str(self.root)!r})"

    def _path(self, key: str) -> Path:
        path = super()._path(key)
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self._real_root):
            raise Outside("is a link that leads out of the dataset, and is not followed")
        try:
            mode = real.stat().st_mode
        except OSError:  # gone, or not to be looked at: who opens it says so
            return path
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise Outside("is a pipe or a device, and is not opened")
        return real

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """As of `LocalStore`; links to files elsewhere and linked folders are left out."""
        return (item for item in super().list(prefix) if self._is_own(item.key))

    def _walk(self, folder: Path, before: str, prefix: str) -> Iterator[StoredObject]:
        # The real path of a link to itself is that link.
        is_linked = folder != self.root and folder.is_symlink()
        if not is_linked and Path(os.path.realpath(folder)) == self._real_root / folder.relative_to(self.root):
            yield from super()._walk(folder, before, prefix)

    def _is_own(self, key: str) -> bool:
        path = self.root / key
        return not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to(self._real_root)
