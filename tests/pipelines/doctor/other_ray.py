"""The installed Ray under another version: a folder for PYTHONPATH whose `ray` is it but for what it calls itself."""

from pathlib import Path

import ray

VERSION = "2.59.1"


def save_other_ray(folder: Path) -> str:
    """Make the overlay in `folder`; what PYTHONPATH must begin with."""
    installed, overlay = Path(ray.__file__).parent, folder / "ray"
    overlay.mkdir(parents=True)
    for entry in installed.iterdir():
        if entry.name not in ("_version.py", "__pycache__"):
            (overlay / entry.name).symlink_to(entry)
    (overlay / "_version.py").write_text(f'commit = "none"\nversion = "{VERSION}"\n')
    return str(folder)
