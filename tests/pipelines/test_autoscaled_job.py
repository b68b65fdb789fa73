"""A job in a cluster that has no worker node before it, and none after it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

from pipelines.places import ROOT
from tests.actors.test_pool_drivers import left_over
from tests.autoscaling_cluster import AutoscalingCluster, NodeType

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROWS = 12
JOB_TIMEOUT_S = 400
MARKET_LABEL = "ray.io/market-type"


@pytest.fixture(scope="module")
def cluster() -> Iterator[AutoscalingCluster]:
    """It may have more nodes than the job; spot nodes never come."""
    with AutoscalingCluster(NodeType(cpus=2, max_nodes=3, market="on_demand"), idle_timeout_s=3) as running:
        yield running


@dataclass
class Seen:
    """What is seen of a job from outside."""

    most_nodes: int = 0
    markets: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    """Domains that the autoscaler has no node type for."""
    summary: dict[str, object] = field(default_factory=dict)


def run(cluster: AutoscalingCluster, folder: Path, model: Path, *overrides: str) -> Seen:
    """A job of a dozen videos by two workers a node on at most two nodes."""
    prompts = "".join(json.dumps({"prompt": f"a cat number {number}"}) + "\n" for number in range(ROWS))
    (folder / "p.jsonl").write_text(prompts)
    command = [
        *(sys.executable, "-m", "pipelines.cli", "run", "configs/demo.yaml", "--json"),
        *(f"model={model}", f"input.path={folder}/p.jsonl", f"output.uri={folder}/out", "pab=off"),
        *("sampling.steps=100", "sampling.height=32", "sampling.width=32"),
        *(f"cluster.address={cluster.address}", "cluster.threads_per_worker=1"),
        *("cluster.workers=4", "cluster.domain_workers=2", "cluster.min_workers=0"),
        *("cluster.idle_release_s=3", "cluster.backlog_s=5", *overrides),
    ]
    seen, begun = Seen(), time.monotonic()
    with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("w") as err:
        job = subprocess.Popen(command, cwd=ROOT, env=cluster.environment, stdout=out, stderr=err)
        try:
            while job.poll() is None:
                assert time.monotonic() - begun < JOB_TIMEOUT_S, (folder / "err.txt").read_text()
                nodes = cluster.nodes()
                seen.most_nodes = max(seen.most_nodes, len(nodes))
                seen.markets |= {node.labels[MARKET_LABEL] for node in nodes}
                seen.refused |= refused(cluster)
                time.sleep(0.2)
        finally:
            job.kill()
            job.wait()
    assert job.returncode == 0, (folder / "err.txt").read_text()
    assert "Traceback" not in (folder / "err.txt").read_text()
    seen.summary = json.loads((folder / "out.txt").read_text().splitlines()[-1])
    return seen


def refused(cluster: AutoscalingCluster) -> set[str]:
    """The placement groups that the autoscaler says no node it may add would hold."""
    reply = GetClusterStatusReply.FromString(GcsClient(address=cluster.address).get_cluster_status())
    return {str(request) for request in reply.autoscaling_state.infeasible_gang_resource_requests}


def check_end(cluster: AutoscalingCluster, folder: Path, seen: Seen) -> None:
    """Everything is made, and nothing of it is left in the cluster."""
    assert (seen.summary["committed"], seen.summary["failed"]) == (ROWS, 0)
    assert len(list((folder / "out/_pabcast/commits").rglob("*.json"))) == ROWS
    left = left_over(cluster.address)
    assert "pabcast" not in left  # Ray Data leaves actors of its own
    assert left.endswith("[]")
    assert cluster.wait_for_nodes(0) == []


def test_a_job_brings_the_nodes_it_needs_and_leaves_none(
    cluster: AutoscalingCluster, tiny_model: Path, tmp_path: Path
) -> None:
    assert cluster.nodes() == []
    seen = run(cluster, tmp_path, tiny_model)
    assert 1 <= seen.most_nodes <= 2
    assert seen.refused == set()
    check_end(cluster, tmp_path, seen)


def test_a_job_for_which_no_spot_node_comes_is_made_on_demand(
    cluster: AutoscalingCluster, tiny_model: Path, tmp_path: Path
) -> None:
    assert cluster.nodes() == []
    seen = run(cluster, tmp_path, tiny_model, "cluster.spot=true", "cluster.spot_timeout_s=5")
    assert seen.markets == {"on-demand"}
    assert any('label_values: "spot"' in request for request in seen.refused)
    check_end(cluster, tmp_path, seen)
