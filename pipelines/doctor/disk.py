"""Space on the disks that something will be written to."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.commands.output import spell_bytes
from pipelines.doctor.finding import SET_TMPDIR, Finding, failed, ok, warning
from pipelines.doctor.wanted import Wanted
from pipelines.given_paths import user_path
from pipelines.store import LocalStore, open_store

LEAST_BYTES = 10**9
"""Less than that is soon full, whatever is made."""
FEW_BYTES = 10 * 10**9
TEMPORARY = Path("/tmp")
SOCKET = "/ray/session_2026-01-31_12-00-00_000000_{pid}/sockets/plasma_store"
"""The longest path of Ray's sockets in its folder."""
SOCKET_BYTES = 107
"""What the path of a Unix socket may have."""
RAY_FULL = 0.95
"""Of a disk: Ray spills no objects onto a fuller one (its local_fs_capacity_threshold)."""


RAYS = {"Ray": "RAY_TMPDIR", "what Ray spills": "RAY_object_spilling_directory"}
"""What is Ray's -> the variable that says where."""


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
    """A line `disk` for each disk of the places that are written to, and for each place that cannot be."""
    try:
        lines = judge_tmpdir(os.environ.get("TMPDIR"), tempfile.gettempdir())
    except FileNotFoundError:
        return [failed("disk", "no folder for temporary files can be written", SET_TMPDIR)]
    written = places(wanted)
    if wanted.address is not None:  # Ray runs already
        written = {role: place for role, place in written.items() if role not in RAYS}
    return [*lines, *look_at_places(written), *_look_at_space(wanted)]


def judge_tmpdir(named: str | None, used: str) -> list[Finding]:
    """Python passes over a TMPDIR that it cannot write to, without a word."""
    if not named or Path(named).absolute() == Path(used):
        return []
    found = f"TMPDIR={named} cannot be used: temporary files go to {used}"
    return [warning("disk", found, "make that folder and let it be written, or unset TMPDIR")]


def look_at_places(found: Mapping[str, Path]) -> list[Finding]:
    """A failed line for each place that cannot be written, or not by Ray; of a store its own line tells."""
    lines = []
    for role in [role for role in (*RAYS, "cluster.compile_cache") if role in found]:
        variable = RAYS.get(role, role)
        if reason := _refusal(found[role]):
            said = f"{found[role]}, for {role}, cannot be written: {reason}"
            lines.append(failed("disk", said, f"set {variable} to a folder that can"))
    size = len(os.fsencode(found["Ray"].absolute())) if "Ray" in found else 0
    rest = len(SOCKET.format(pid=os.getpid()))
    if size + rest > SOCKET_BYTES:
        said = (
            f"{found['Ray']}, for Ray, has {size} bytes, and the paths of its sockets {rest} more; "
            f"a socket's may have {SOCKET_BYTES}"
        )
        lines.append(failed("disk", said, f"set RAY_TMPDIR to a folder of at most {SOCKET_BYTES - rest} bytes"))
    return lines


def _refusal(place: Path) -> str:
    """Why nothing can be written there; nothing if it can."""
    folder = _nearest(place)
    try:
        if place.exists() and not place.is_dir():
            return "it is a file"
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _look_at_space(wanted: Wanted) -> list[Finding]:
    disks: dict[int, list[str]] = {}
    folders: dict[int, Path] = {}
    for role, place in places(wanted).items():
        folder = _nearest(place)
        disk = folder.stat().st_dev
        disks.setdefault(disk, []).append(role)
        folders.setdefault(disk, folder)
    spaces = {disk: _space(folder) for disk, folder in folders.items()}
    # One without any space, as /proc, is no disk: whether it can be written, other lines tell.
    return [judge_space(roles, folders[disk], spaces[disk]) for disk, roles in disks.items() if spaces[disk].total]


def places(wanted: Wanted, environment: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """What is written here -> its folder, which may not be there yet."""
    found = {"temporary files": Path(tempfile.gettempdir())}
    # As Ray does, which asks nobody whether it can be written.
    found["Ray"] = Path(environment.get("RAY_TMPDIR") or environment.get("TMPDIR") or TEMPORARY)
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
