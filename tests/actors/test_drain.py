"""Nodes that are about to go."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.places import ROOT
from tests.autoscaling_cluster import AutoscalingCluster, NodeType

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DEADLINE_S = 20


@pytest.fixture(scope="module")
def told(tiny_model: Path) -> Iterator[dict[str, Any]]:
    """What tests/actors/drained_node.py tells of its short and of its long video."""
    with AutoscalingCluster(NodeType(cpus=2, max_nodes=3)) as cluster:
        command = [sys.executable, "-m", "tests.actors.drained_node", cluster.address, str(tiny_model)]
        said = subprocess.run(
            command, cwd=ROOT, env=cluster.environment, stdout=subprocess.PIPE, text=True, timeout=500, check=True
        )
        cluster.wait_for_nodes(0)
    lines = [json.loads(line) for line in said.stdout.splitlines() if line.startswith('{"video"')]
    yield {line["video"]: line for line in lines}


def test_a_video_leaves_its_node_before_it_goes_and_ends_elsewhere_bit_identical(told: dict[str, Any]) -> None:
    video = told["long"]
    assert video["handed_over"] == 1
    assert max(video["seconds"]["left"], video["seconds"]["given_back"]) < DEADLINE_S
    assert video["first_step"] > 0
    assert video["identical"]


def test_a_video_that_ends_before_its_node_goes_stays(told: dict[str, Any]) -> None:
    video = told["short"]
    assert (video["handed_over"], video["first_step"]) == (0, 0)
    assert video["seconds"]["draining"] < video["seconds"]["ended"]


@pytest.mark.parametrize("name", ["short", "long"])
def test_a_drained_domain_gives_its_bundles_back_and_another_takes_its_place(told: dict[str, Any], name: str) -> None:
    video = told[name]
    assert {"replaced", "given_back", "node_gone"} <= video["seconds"].keys()
    assert (video["domains"], video["home_again"]) == (1, False)
