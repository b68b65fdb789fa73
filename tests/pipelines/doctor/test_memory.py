"""The memory of a machine and of a container, and who fits into it."""

from pathlib import Path

import psutil
import pytest

from pipelines.doctor.memory import Memory, judge_memory, read_memory

GB = 10**9


def test_without_a_limit_it_is_the_machines(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert read_memory(tmp_path).total == psutil.virtual_memory().total
    assert read_memory(tmp_path / "none").total == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("names", "stat"),
    [
        (("memory.max", "memory.current", "memory.stat"), "anon 1\ninactive_file 200000000\n"),
        (
            ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
            "total_inactive_file 200000000\n",
        ),
    ],
)
def test_a_containers_limit_counts_and_what_it_caches_is_free(tmp_path: Path, names, stat: str) -> None:
    (tmp_path / "memory").mkdir()
    for name, text in zip(names, ("1000000000\n", "700000000\n", stat), strict=True):
        (tmp_path / name).write_text(text)
    assert read_memory(tmp_path) == Memory(total=GB, available=500_000_000)


def test_rays_view_of_the_memory_is_ours() -> None:
    from ray._common.utils import get_system_memory

    assert read_memory().total == pytest.approx(get_system_memory(), rel=0.01)


@pytest.mark.parametrize(
    ("total_gb", "free_gb", "workers", "weights_gb", "status", "words"),
    [
        (16, 12, 2, 1, "ok", "12.0 GB of 16.0 GB free, 2 cores"),
        (16, 2, 2, 1, "warning", "wanted: 2 x (300.0 MB a process + 1.0 GB of weights)"),
        (16, 12, 17, 0, "failed", "17 workers are wanted, but this machine holds 16 workers"),
        (16, 12, 1, 28, "failed", "1 workers are wanted, but this machine holds 0 workers"),
    ],
)
def test_workers_that_do_not_fit_are_told_with_the_arithmetic(
    total_gb: int, free_gb: int, workers: int, weights_gb: int, status: str, words: str
) -> None:
    line = judge_memory(Memory(total=total_gb * GB, available=free_gb * GB), 2, workers, weights_gb * GB)
    assert (line.status, words in line.found) == (status, True), line
    assert bool(line.way_out) == (status != "ok")
