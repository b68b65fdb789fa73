"""A stored file as an HTTP answer, whole or a range of it (RFC 9110, section 14)."""

import re
from collections.abc import Iterator

from starlette.responses import Response, StreamingResponse

from pipelines.serving.problems import ApiProblem
from pipelines.store import Store, StoredObject

_CHUNK = 256 << 10
_RANGE = re.compile(r"bytes=([0-9]{0,40})-([0-9]{0,40})", re.IGNORECASE)


def answer_file(store: Store, found: StoredObject, media_type: str, name: str, range_header: str | None) -> Response:
    """The object `found`, or what the Range header asks of it; several ranges at once are answered by the whole.

    Raises:
        ApiProblem: a range behind its end.
    """
    headers = {
        "accept-ranges": "bytes",
        "content-disposition": f'inline; filename="{name}"',
        "cache-control": "private, max-age=3600",
    }
    asked = _span(range_header, found.size)
    start, stop = asked or (0, found.size)
    headers["content-length"] = str(stop - start)
    if asked:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{found.size}"
    chunks = _read(store, found.key, start, stop)
    return StreamingResponse(chunks, status_code=206 if asked else 200, media_type=media_type, headers=headers)


def _span(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None if no one range is asked for."""
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
    if start >= stop:
        raise ApiProblem(
            416,
            f"the range {header} has nothing of {size} bytes",
            code="invalid_range",
            headers={"content-range": f"bytes */{size}"},
        )
    return start, stop


def _read(store: Store, key: str, start: int, stop: int) -> Iterator[bytes]:
    with store.open(key) as file:
        file.seek(start)
        left = stop - start
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
