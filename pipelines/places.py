"""Where the things that come with pabcast lie: the folder above the packages, with `configs/` in it.

That folder is the repository's root in a checkout and site-packages in an installation.
"""

import re
from pathlib import Path

from cluster.errors import ConfigError

LONGEST_NAME_BYTES = 255
LONGEST_PATH_BYTES = 4095
ROOT = Path(__file__).resolve().parent.parent


def config_folders(kind: str) -> list[Path]:
    """The folders of `configs/<kind>` to look in: the current directory's first, then the one that came along."""
    folders = [Path.cwd() / "configs" / kind, ROOT / "configs" / kind]
    return [folder for folder in dict.fromkeys(path.resolve() for path in folders) if folder.is_dir()]


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


def find_shipped(path: str) -> str:
    """`path` as it is seen from the current directory; a `configs/...` path that is not there is the shipped one."""
    if not path.startswith("configs/") or user_path(path, "the path").exists():
        return path
    shipped = ROOT / path
    return str(shipped) if shipped.exists() else path
