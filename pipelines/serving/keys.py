"""The keys that may use the endpoint."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from cluster.errors import ConfigError

ANYONE = "anyone"
"""Whose all videos are where no key is wanted."""
_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-fA-F]{64})")


class Keys:
    """Names of keys by the SHA-256 of each; the keys themselves are nowhere."""

    def __init__(self, digests: Mapping[str, str] | None) -> None:
        """`digests` are hex digits by name; None lets anybody in."""
        self._digests = digests

    @classmethod
    def read(cls, path: str | None) -> "Keys":
        """Of a file of one `name:sha256-of-key` a line, # beginning a remark; `ConfigError` if it is none."""
        if path is None:
            return cls(None)
        try:
            lines = Path(path).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"auth.keys_file {path} cannot be read: {error}") from error
        digests: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            text = line.partition("#")[0].strip()
            match = _LINE.fullmatch(text)
            if match is None and text:
                raise ConfigError(
                    f"line {number} of auth.keys_file {path} is not name:sha256-of-key (64 hex digits); "
                    "printf %s KEY | sha256sum gives them"
                )
            if match is not None:
                if match[1] in digests:
                    raise ConfigError(f"auth.keys_file {path} has the name {match[1]} twice")
                digests[match[1]] = match[2].lower()
        if not digests:
            raise ConfigError(f"auth.keys_file {path} has no key; nobody could use the endpoint")
        return cls(digests)

    @property
    def wanted(self) -> bool:
        """Whether one is needed to be let in."""
        return self._digests is not None

    def name_of(self, authorization: str | None) -> str | None:
        """The name of the key in an Authorization header; None if there is none or it is unknown.

        Headers are bytes that ASGI shows as latin-1. Every key is compared with, in a time that does not tell how much
        of it is right.
        """
        if self._digests is None:
            return ANYONE
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return None
        digest = hashlib.sha256(key.strip().encode("latin-1", "replace")).hexdigest()
        found = [name for name, known in self._digests.items() if hmac.compare_digest(digest, known)]
        return found[0] if found else None
