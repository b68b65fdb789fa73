"""Prometheus on a head that wants a token, by the config for it: it has the nodes by the token, and none without."""

import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.observability import render
from tests.infra.observability.prometheus import config_of, prometheus
from tests.ray_head import NO_TOKEN, RayHead, free_port, ray_head

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed"),
]
SCRAPED_S = 60.0
TOKEN = secrets.token_hex(32)


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    variables = {**NO_TOKEN, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    with ray_head(1, dashboard=True, variables=variables) as running:
        yield running


def answers(url: str, job: str) -> list[str]:
    """Of each target that was asked by now, whether it answered: "1" or "0"."""
    return [sample["value"][1] for sample in render.Prometheus(url).instant(f'up{{job="{job}"}}', time.time())]


def test_the_nodes_are_found_with_the_token_and_answer_without_one(head: RayHead, tmp_path: Path) -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    with prometheus(tmp_path, config_of(head, endpoint, tmp_path, TOKEN)) as url:
        deadline = time.monotonic() + SCRAPED_S
        while "1" not in answers(url, "ray") or not answers(url, "pabcast-endpoint"):
            assert time.monotonic() < deadline, (tmp_path / "prometheus.log").read_text()
            time.sleep(0.5)
        assert answers(url, "pabcast-endpoint") == ["0"], "an endpoint that is said to be there and is not"
        (tmp_path / "endpoints.json").unlink()
        while answers(url, "pabcast-endpoint"):
            assert time.monotonic() < deadline, "an endpoint that nobody has is not asked"
            time.sleep(0.5)


def test_another_token_finds_no_node(head: RayHead, tmp_path: Path) -> None:
    with prometheus(tmp_path, config_of(head, "127.0.0.1:1", tmp_path, "another")) as url:
        deadline = time.monotonic() + SCRAPED_S
        while "403" not in (log := (tmp_path / "prometheus.log").read_text()):
            assert time.monotonic() < deadline, log
            time.sleep(0.5)
        assert answers(url, "ray") == []
