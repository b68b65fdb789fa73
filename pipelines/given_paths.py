"""Paths and uris that a person wrote, looked at before they are used."""

import re
import tempfile
from pathlib import Path

from cluster.errors import ConfigError, StoreError

LONGEST_NAME_BYTES = 255
LONGEST_PATH_BYTES = 4095
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")


def check_uri(uri: str, what: str) -> None:
    """Raise `ConfigError`, which calls the uri `what` and does not repeat it, if it carries credentials."""
    scheme, _, rest = uri.partition("://")
    if scheme.lower() != "file" and re.search("[@:]", rest.partition("/")[0]):
        raise ConfigError(
            f"{what} has : or @ where {scheme}:// has its bucket, as if it carried credentials; give "
            "s3://bucket/prefix, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def user_path(text: str, what: str) -> Path:
    """The path that a person wrote, its ``~`` expanded; whether it is there is not looked at.

    Raises `ConfigError`, which calls the path `what`, if no file system could hold it.
    """
    try:
        size, longest = len(text.encode()), max(len(name.encode()) for name in text.split("/"))
    except UnicodeEncodeError:
        raise ConfigError(f"{what} {text!r} is not UTF-8; rename it") from None
    if "\0" in text:
        raise ConfigError(f"{what} {text!r} has a NUL character, which no path can hold; leave it out")
    if longest > LONGEST_NAME_BYTES or size > LONGEST_PATH_BYTES:
        raise ConfigError(
            f"{what} {text[:40]}… is too long: one of its names has {longest} bytes of at most {LONGEST_NAME_BYTES}, "
            f"the whole {size} of at most {LONGEST_PATH_BYTES}; give a shorter one"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = text.split("/")[0]
        raise ConfigError(f"{what} {text}: nobody here is called {user[1:]}; write ./{user} for that name") from None


def check_picture(file: Path, what: str) -> None:
    """As `check_writable`, for a picture; `ConfigError` if its suffix is of none."""
    if file.suffix.lower() not in PICTURES:
        raise ConfigError(f"{what} is {file}; a picture is wanted, with one of the suffixes {', '.join(PICTURES)}")
    check_writable(file, what)


def check_writable(file: Path, what: str) -> None:
    """Tell before a long computation whether `file` can be written; the folders above it are made.

    Raises `ConfigError` if it can be no file, `StoreError` if it may not be written.
    """
    user_path(str(file), what)
    try:
        if file.is_dir():
            raise ConfigError(f"{what} {file} is a folder; a file is wanted")
        if file.is_file():
            file.open("r+b").close()
            return
        if file.exists():
            raise ConfigError(f"{what} {file} is a pipe or a device; a file is wanted")
        file.absolute().parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=file.absolute().parent).close()
    except OSError as error:
        raise StoreError(f"{what} {file} cannot be written: {error.strerror or error}") from error
