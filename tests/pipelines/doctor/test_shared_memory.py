"""What /dev/shm must hold, as Ray and NCCL want it."""

import shutil
from pathlib import Path

import pytest

from pipelines.doctor.shared_memory import GROUP_BYTES, SHM, judge_shared_memory, store_bytes

MIB, GB = 1 << 20, 10**9


@pytest.mark.skipif(not SHM.is_dir(), reason="no /dev/shm")
@pytest.mark.parametrize("available", [GB, 20 * GB, 64 * GB, 200 * GB, 900 * GB])
def test_the_object_store_is_as_large_as_ray_makes_it(available: int) -> None:
    from ray._private.utils import resolve_object_store_memory

    free = shutil.disk_usage(SHM).free
    assert store_bytes(available, free) == pytest.approx(resolve_object_store_memory(available), rel=0.01)


@pytest.mark.parametrize(
    ("available", "shm_free", "store"),
    [(20 * GB, 64 * MIB, 6 * GB), (900 * GB, 64 * MIB, 10 * GB), (900 * GB, 450 * GB, 200 * GB)],
)
def test_a_large_machine_has_a_store_of_200_gb_at_most_and_of_10_where_shared_memory_is_small(
    available: int, shm_free: int, store: int
) -> None:
    assert store_bytes(available, shm_free) == store


def test_enough_is_ok_with_the_arithmetic() -> None:
    line = judge_shared_memory(12 * GB, 12 * GB, 20 * GB, GROUP_BYTES)
    assert line.status == "ok"
    assert line.found == (
        "12.0 GB of 12.0 GB free; wanted: 6.0 GB for Ray's object store (30% of 20.0 GB) + 1.1 GB for process groups"
    )


def test_too_little_has_failed_and_the_way_out_is_enough() -> None:
    line = judge_shared_memory(64 * MIB, 64 * MIB, 20 * GB, 0)
    assert line.status == "failed"
    size = int(line.way_out.partition("--shm-size=")[2].partition("m")[0]) * MIB
    assert judge_shared_memory(size, size, 20 * GB, 0).status == "ok"


def test_where_ray_runs_already_the_process_groups_alone_count() -> None:
    assert judge_shared_memory(64 * MIB, 64 * MIB, None, 0).status == "ok"
    assert judge_shared_memory(64 * MIB, 64 * MIB, None, GROUP_BYTES).status == "failed"


def test_its_folder_is_where_ray_looks() -> None:
    assert Path("/dev/shm") == SHM
