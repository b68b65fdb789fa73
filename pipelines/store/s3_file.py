"""An object of a bucket as a seekable file, read by ranged GETs."""

import io
from typing import Any, Protocol


class RangedReader(Protocol):
    """What can give a part of an object."""

    def get_range(self, key: str, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`."""
        ...


class S3File(io.RawIOBase):
    """Raw and unbuffered: wrap it in `io.BufferedReader`, whose buffer is then the size of a GET."""

    def __init__(self, source: RangedReader, key: str, size: int) -> None:
        self._source = source
        self._key = key
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, the position or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` with one GET; 0 at the end."""
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        data = self._source.get_range(self._key, self._position, end)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
