"""Where the things that come with pabcast lie: the folder above the packages, with `configs/` in it.

That folder is the repository's root in a checkout and site-packages in an installation.
"""

from pathlib import Path

from pipelines.given_paths import user_path

ROOT = Path(__file__).resolve().parent.parent


def config_folders(kind: str) -> list[Path]:
    """The folders of `configs/<kind>` to look in: the current directory's first, then the one that came along."""
    folders = [Path.cwd() / "configs" / kind, ROOT / "configs" / kind]
    return [folder for folder in dict.fromkeys(path.resolve() for path in folders) if folder.is_dir()]


def find_shipped(path: str) -> str:
    """`path` as it is seen from the current directory; a `configs/...` path that is not there is the shipped one."""
    if not path.startswith("configs/") or user_path(path, "the path").exists():
        return path
    shipped = ROOT / path
    return str(shipped) if shipped.exists() else path
