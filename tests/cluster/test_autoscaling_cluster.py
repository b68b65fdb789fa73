import json
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from pipelines.places import ROOT
from tests.autoscaling_cluster import AutoscalingCluster, NodeType

pytestmark = pytest.mark.slow


class Driver:
    """tests/cluster/growth.py, in a process of its own: pytest's has the session's Ray."""

    def __init__(self, cluster: AutoscalingCluster) -> None:
        command = [sys.executable, "-m", "tests.cluster.growth"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=cluster.environment, stdin=pipe, stdout=pipe, text=True, bufsize=1
        )

    def ask(self, command: str) -> tuple[str, str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        word, _, rest = self.process.stdout.readline().strip().partition(" ")
        return word, rest


@pytest.fixture(scope="module")
def cluster() -> Iterator[AutoscalingCluster]:
    with AutoscalingCluster(
        NodeType(cpus=2, max_nodes=1), NodeType(cpus=2, max_nodes=1, market="spot"), idle_timeout_s=3
    ) as running:
        yield running


@pytest.fixture
def driver(cluster: AutoscalingCluster) -> Iterator[Driver]:
    driver = Driver(cluster)
    yield driver
    driver.process.kill()
    driver.process.wait()
    cluster.wait_for_nodes(0)


def test_a_waiting_domain_brings_a_node_and_its_release_takes_the_node_away(
    cluster: AutoscalingCluster, driver: Driver
) -> None:
    assert cluster.nodes() == []
    word, node_id = driver.ask("place any 2 60")
    assert word == "placed"
    (node,) = cluster.nodes()
    assert (node.node_id, node.cpus) == (node_id, 2)
    assert driver.ask("release") == ("released", "")
    cluster.wait_for_nodes(0)


def test_a_domain_of_spot_nodes_gets_a_spot_node(cluster: AutoscalingCluster, driver: Driver) -> None:
    for _ in range(2):
        assert driver.ask("place spot 2 60")[0] == "placed"
        (node,) = cluster.nodes()
        assert node.labels["ray.io/market-type"] == "spot"
        driver.ask("release")
        cluster.wait_for_nodes(0)


def test_a_domain_that_no_node_can_hold_is_told_so_after_its_time(cluster: AutoscalingCluster, driver: Driver) -> None:
    word, sentence = driver.ask("place any 3 4")
    assert word == "refused"
    assert sentence.startswith("wanted: 3 workers with 1 CPU each, and for 4 s the autoscaler has had no node")
    word, sentence = driver.ask("place on_demand 2 4")
    assert word == "refused"
    assert sentence.startswith("wanted: 2 workers with 1 CPU each on on-demand nodes, and for 4 s the autoscaler")


def test_a_node_about_to_go_is_told_with_the_seconds_it_has_left(cluster: AutoscalingCluster, driver: Driver) -> None:
    _, node_id = driver.ask("place any 2 60")
    assert driver.ask("draining") == ("draining", "{}")
    cluster.drain(node_id, deadline_s=20)
    left_s = json.loads(driver.ask("draining")[1])
    assert list(left_s) == [node_id]
    assert 10 < left_s[node_id] <= 20


def test_nothing_of_a_cluster_is_left_when_its_test_fails() -> None:
    with pytest.raises(ZeroDivisionError), AutoscalingCluster(NodeType(cpus=1, max_nodes=1)) as cluster:
        assert Driver(cluster).ask("place any 1 60")[0] == "placed"
        assert any("raylet/raylet" in line for line in command_lines(cluster))
        raise ZeroDivisionError
    assert command_lines(cluster) == []


def command_lines(cluster: AutoscalingCluster) -> list[str]:
    """Those of the processes that name the cluster's port, which is all of Ray's."""
    lines = (" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    return [line for line in lines if cluster.address.removeprefix("127.0.0.1") in line]
