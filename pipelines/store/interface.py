"""What pabcast asks of a store: whole objects under keys, and one conditional put."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from cluster.errors import StoreError


class NotFound(StoreError):
    """No object has this key, or there is no such bucket."""


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One object of a listing."""

    key: str
    """Relative to the store's root, parts separated by ``/``."""
    size: int
    """In bytes."""
    modified: float
    """When it was written, in seconds since 1970, by the store's own clock."""


class Store(Protocol):
    """A folder or a bucket's prefix; pickles, and one instance serves many threads.

    Every method raises `StoreError` in one sentence when the store cannot be used, `StoreFull` when it has no
    space, and `ValueError` for a key that would leave the root.
    """

    @property
    def uri(self) -> str:
        """The folder, or ``s3://bucket/prefix``."""
        ...

    def put(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write or overwrite an object; readers see the old bytes or the new, never a part."""
        ...

    def put_file(self, key: str, path: Path, content_type: str | None = None) -> None:
        """Like `put`, from a local file of any size."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken; False if someone was first.

        Of many writers exactly one is told True, where `probe` says "lock". `data` must be unique to its writer:
        that is how a writer whose answer was lost recognises its own object.
        """
        ...

    def get(self, key: str) -> bytes:
        """The whole object; `NotFound` if there is none."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A seekable stream that holds a few MiB at most; `NotFound` if there is no such object."""
        ...

    def stat(self, key: str) -> StoredObject | None:
        """What a listing would say of this key, or None."""
        ...

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """The objects whose keys start with `prefix`, in the order of their keys, streamed; no folder markers."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def sweep(self, before: float) -> int:
        """Remove what killed writers left unfinished before a time (seconds since 1970); how many there were."""
        ...

    def hurried(self, total_s: float) -> Self:
        """The same store with short time-outs, whose calls give up after about `total_s` seconds."""
        ...


def check_key(key: str) -> str:
    """Return `key`; `ValueError` if it is empty or could leave the root."""
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") for part in parts) or "\\" in key or "\0" in key:
        raise ValueError(f"{key!r} is no key: give names separated by single slashes, without . or ..")
    return key
