"""Space on the disks that something will be written to."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.commands.output import spell_bytes
from pipelines.doctor.finding import Finding, failed, ok, warning
from pipelines.doctor.wanted import Wanted
from pipelines.given_paths import user_path
from pipelines.store import LocalStore, open_store

LEAST_BYTES = 10**9
"""Less than that is soon full, whatever is made."""
FEW_BYTES = 10 * 10**9
RAY_FULL = 0.95
"""Of a disk: Ray spills no objects onto a fuller one (its local_fs_capacity_threshold)."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Of one disk; in bytes."""

    free: int
    total: int

    @property
    def filled(self) -> float:
        """The share that is not free."""
        return 1 - self.free / self.total if self.total else 1.0


def look_at_disks(wanted: Wanted) -> list[Finding]:
    """A line `disk` for each disk of the places that are written to."""
    disks: dict[int, list[str]] = {}
    folders: dict[int, Path] = {}
    for role, place in places(wanted).items():
        folder = _nearest(place)
        disk = folder.stat().st_dev
        disks.setdefault(disk, []).append(role)
        folders.setdefault(disk, folder)
    return [judge_space(roles, folders[disk], _space(folders[disk])) for disk, roles in disks.items()]


def places(wanted: Wanted, environment: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """What is written here -> its folder, which may not be there yet."""
    found = {"temporary files": Path(tempfile.gettempdir())}
    found["Ray"] = Path(environment.get("RAY_TMPDIR") or tempfile.gettempdir())
    if spill := environment.get("RAY_object_spilling_directory"):
        found["what Ray spills"] = Path(spill)
    store = open_store(wanted.store, wanted.store_key) if wanted.store else None
    if isinstance(store, LocalStore):
        found[wanted.store_key] = store.root
    if wanted.config and wanted.config.cluster.compile and wanted.config.cluster.compile_cache:
        found["cluster.compile_cache"] = user_path(wanted.config.cluster.compile_cache, "cluster.compile_cache")
    return found


def judge_space(roles: list[str], folder: Path, space: Space) -> Finding:
    """Whether there is space for what is written, and Ray would spill there."""
    found = f"{spell_bytes(space.free)} of {spell_bytes(space.total)} free at {folder}, for {', '.join(roles)}"
    if space.free < LEAST_BYTES:
        return failed(
            "disk", f"{found}; {spell_bytes(LEAST_BYTES)} are wanted at least", "free some, or write elsewhere"
        )
    if space.filled >= RAY_FULL and any("Ray" in role for role in roles):
        return warning(
            "disk",
            f"{found}; it is {space.filled:.1%} full, and from {RAY_FULL:.0%} on Ray spills nothing there",
            "free some, or set RAY_TMPDIR to a folder of another disk",
        )
    if space.free < FEW_BYTES:
        return warning("disk", found, "a large dataset will not fit: free some, or write elsewhere")
    return ok("disk", found)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    path = folder.absolute()
    return next(place for place in (path, *path.parents) if place.is_dir())


def _space(folder: Path) -> Space:
    usage = shutil.disk_usage(folder)
    return Space(free=usage.free, total=usage.total)
