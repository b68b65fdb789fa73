"""From a uri to a store."""

import os
import re
from urllib.parse import unquote_to_bytes

from cluster.errors import ConfigError
from pipelines.given_paths import check_uri, user_path
from pipelines.store.interface import Store
from pipelines.store.local import LocalStore
from pipelines.store.s3 import S3Store

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)$", re.DOTALL)
_HALF_A_SCHEME = re.compile(r"^(s3a?|file|https?|gs):", re.IGNORECASE)


def open_store(uri: str, what: str = "the uri") -> Store:
    """The store at ``s3://bucket/prefix``, ``file:///folder`` or a folder; nothing is read, written or made.

    Raises `ConfigError`, which calls the uri `what`, for another scheme, a uri without a bucket or with credentials,
    and a path that no file system could hold.
    """
    if not uri.strip():
        raise ConfigError(f"{what} is empty; give a folder or s3://bucket/prefix")
    match = _SCHEME.match(uri)
    if match is None:
        half = _HALF_A_SCHEME.match(uri)
        if half:
            raise ConfigError(
                f"{what} begins with {half[0]} and not with {half[0]}//; "
                f"give s3://bucket/prefix, file:///folder or, for a folder of that name, ./{half[0]}…"
            )
        return LocalStore(user_path(uri, what))
    scheme, rest = match[1].lower(), match[2]
    check_uri(uri, what)
    if scheme == "file":
        return LocalStore(user_path(_file_path(rest, what), what))
    if scheme not in ("s3", "s3a"):
        raise ConfigError(f"{what}: {scheme}:// is not supported; give a folder or s3://bucket/prefix")
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise ConfigError(f"{what} {uri} names no bucket; give s3://bucket/prefix")
    parts = [part for part in prefix.split("/") if part]
    if any(part in (".", "..") or "\0" in part for part in parts):
        raise ConfigError(f"{what} {uri!r} has ., .. or a NUL character in its prefix; give s3://bucket/prefix")
    return S3Store(bucket, "/".join(parts))


def _file_path(rest: str, what: str) -> str:
    """The absolute path of ``file:///path`` or ``file://localhost/path``, its %XX decoded; # and ? are letters."""
    host, _, path = rest.partition("/")
    if host.lower() not in ("", "localhost"):
        raise ConfigError(
            f"{what} file://{rest} names the host {host}, not a folder; give file:///{rest} for an absolute path "
            f"or {rest} for one from here"
        )
    return "/" + os.fsdecode(unquote_to_bytes(path))
