"""From a uri to a store."""

import re
from urllib.parse import unquote, urlsplit

from cluster.errors import ConfigError
from pipelines.store.interface import Store
from pipelines.store.local import LocalStore
from pipelines.store.s3 import S3Store

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)$", re.DOTALL)


def open_store(uri: str) -> Store:
    """The store at ``s3://bucket/prefix``, ``file:///folder`` or a folder; nothing is read, written or made.

    Raises `ConfigError` for another scheme or a uri without a bucket.
    """
    if not uri.strip():
        raise ConfigError("the uri is empty; give a folder or s3://bucket/prefix")
    match = _SCHEME.match(uri)
    if match is None:
        return LocalStore(uri)
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        return LocalStore(unquote(urlsplit(uri).path))
    if scheme not in ("s3", "s3a"):
        raise ConfigError(f"{scheme}:// is not supported; give a folder or s3://bucket/prefix")
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise ConfigError(f"{uri} names no bucket; give s3://bucket/prefix")
    parts = [part for part in prefix.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise ConfigError(f"{uri} has . or .. in its prefix; give s3://bucket/prefix")
    return S3Store(bucket, "/".join(parts))
