"""Who may join a cluster, and what an address says."""

import pytest

from pipelines.doctor.ray_cluster import ClusterFacts, is_loopback, judge_cluster, judge_cluster_gpus, judge_refusal

OURS = ClusterFacts(ray="2.60.0", python="3.11.7")


@pytest.mark.parametrize(
    ("address", "ray", "python", "status"),
    [
        ("head:6379", "2.60.0", "3.11.7", "ok"),
        ("head:6379", "2.60.0", "3.11.8", "failed"),
        ("ray://head:10001", "2.60.0", "3.11.8", "ok"),
        ("ray://head:10001", "2.60.0", "3.12.7", "failed"),
        ("head:6379", "2.59.0", "3.11.7", "failed"),
    ],
)
def test_a_driver_joins_a_cluster_of_its_own_versions(address: str, ray: str, python: str, status: str) -> None:
    line = judge_cluster(address, ClusterFacts(ray=ray, python=python, nodes=3), OURS)
    assert line.status == status
    assert f"Ray {ray} and Python {python}" in line.found
    if status == "failed":
        assert line.way_out == f"install Ray {ray} and Python {python} here, or {OURS.spell()} on the cluster"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:6379", True),
        ("localhost:6379", True),
        ("auto", True),
        ("ray://[::1]:10001", True),
        ("10.0.0.4:6379", False),
        ("ray://head.example:10001", False),
    ],
)
def test_an_address_says_whether_others_reach_it(address: str, loopback: bool) -> None:
    assert is_loopback(address) == loopback


def test_gpus_that_a_cluster_lacks_may_come() -> None:
    assert judge_cluster_gpus(8, 8).status == "ok"
    line = judge_cluster_gpus(0, 8)
    assert (line.status, line.found) == ("warning", "0 there, and up to 8 workers want one each")


def test_what_answers_by_http_is_told_from_a_ray_that_does_not_let_us_in() -> None:
    line = judge_refusal("1.2.3.4:1", RuntimeError("RPC error: Received http2 header with status: 404"))
    assert line.found == "what answers at 1.2.3.4:1 is a server of HTTP or a proxy and no Ray: it says 404"
    assert "correct the address" in line.way_out
    line = judge_refusal("1.2.3.4:1", RuntimeError("it is full\n\nof drivers"))
    assert line.found == "1.2.3.4:1 does not let us in: it is full of drivers"
