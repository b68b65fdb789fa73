"""/dev/shm: what Ray's object store and process groups want of it."""

import shutil
from pathlib import Path

from pipelines.commands.output import spell_bytes
from pipelines.doctor.finding import Finding, failed, ok
from pipelines.doctor.memory import read_memory
from pipelines.doctor.wanted import Wanted
from pipelines.local_room import runs_on_gpu

SHM = Path("/dev/shm")
STORE_SHARE = 0.3
"""Of the available memory: as large Ray makes its object store by default."""
STORE_MOST = 200 * 10**9
STORE_FREE = 10**10
"""Up to here Ray does not make it smaller to fit into /dev/shm, but puts it on the disk."""
STORE_FITS = 0.95
GROUP_BYTES = 1 << 30
"""For the process groups of gangs on GPUs: NCCL's guide has containers run with --shm-size=1g. gloo, on CPUs, uses
none."""


def look_at_shared_memory(wanted: Wanted) -> list[Finding]:
    """The line `shared memory`."""
    if not SHM.is_dir():
        return [ok("shared memory", f"{SHM} is not of this system")]
    usage = shutil.disk_usage(SHM)
    # On a machine of a cluster Ray runs already, and has taken its store out of what is free.
    available = None if wanted.address else read_memory().available
    groups = GROUP_BYTES if wanted.widest_gang > 1 and runs_on_gpu(wanted.device) else 0
    return [judge_shared_memory(usage.free, usage.total, available, groups)]


def store_bytes(available_bytes: int, shm_free_bytes: int) -> int:
    """How large Ray makes its object store (`resolve_object_store_memory` of Ray 2.60)."""
    most = min(STORE_MOST, max(STORE_FREE, int(STORE_FITS * shm_free_bytes)))
    return min(int(STORE_SHARE * available_bytes), most)


def judge_shared_memory(free_bytes: int, total_bytes: int, available_bytes: int | None, group_bytes: int) -> Finding:
    """Whether what is free of /dev/shm is enough; `available_bytes` of memory, None where Ray runs already."""
    parts = []
    need = group_bytes
    if available_bytes is not None:
        store = store_bytes(available_bytes, free_bytes)
        need += store
        share = f"{STORE_SHARE:.0%} of {spell_bytes(available_bytes)}"
        parts.append(f"{spell_bytes(store)} for Ray's object store ({share})")
    if group_bytes:
        parts.append(f"{spell_bytes(group_bytes)} for process groups")
    found = f"{spell_bytes(free_bytes)} of {spell_bytes(total_bytes)} free"
    found += f"; wanted: {' + '.join(parts)}" if parts else ""
    if free_bytes >= need:
        return ok("shared memory", found)
    size = -(-need * 11 // 10 // (1 << 20))
    return failed(
        "shared memory",
        found,
        f"give {SHM} {size} MiB: docker run --shm-size={size}m, on Kubernetes an emptyDir of medium Memory and "
        f"sizeLimit {size}Mi mounted there, elsewhere mount -o remount,size={size}m {SHM}; or free what fills it",
    )
