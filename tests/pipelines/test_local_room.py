"""How many workers a machine is trusted with."""

from pathlib import Path

import pytest

from cluster.errors import ConfigError
from pipelines.config import ClusterConfig
from pipelines.local_room import check_room, room_problem


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_a_small_machine_holds_more_workers_than_cores(workers: int) -> None:
    assert room_problem(workers, cores=2, memory_bytes=16 << 30, weights_bytes=22 << 20) == ""


@pytest.mark.parametrize(
    ("workers", "weights_gb", "sentence"),
    [
        (17, 0, "this machine holds 16 workers: 16 on its 2 cores, at 8 a core, and 57 in its 17.2 GB"),
        (5, 4, "this machine holds 3 workers: 16 on its 2 cores, at 8 a core, and 3 in its 17.2 GB"),
        (1, 20, "20.0 GB of weights; take a smaller model or join a cluster"),
    ],
)
def test_a_machine_that_is_too_small_says_so_with_the_arithmetic(workers: int, weights_gb: int, sentence: str) -> None:
    assert sentence in room_problem(workers, cores=2, memory_bytes=16 << 30, weights_bytes=weights_gb * 10**9)


def test_a_thousand_workers_are_refused_here_and_not_on_a_cluster(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cluster\.workers is 100000, but this machine holds"):
        check_room(ClusterConfig(workers=100_000), str(tiny_model))
    check_room(ClusterConfig(workers=100_000, address="ray://head:10001"), str(tiny_model))
