"""The number of ingress processes follows what they have to do."""

import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.pipelines.serving.endpoint import Endpoint, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
INGRESS = "ray::ServeReplica:pabcast:ingress"
STREAMS = 12
MORE_S = 90.0


def follow(endpoint: Endpoint, video: str) -> None:
    """Keep a request under way: the events of a video that takes long."""
    with suppress(OSError), urllib.request.urlopen(f"{endpoint.url}/v1/videos/{video}/events", timeout=300) as events:
        events.read()


def test_there_are_more_of_them_while_more_requests_are_under_way(tmp_path: Path) -> None:
    with running(tmp_path, "http.replicas=1", "http.max_replicas=2", "http.requests_of_a_replica=4") as endpoint:
        assert len(endpoint.processes(INGRESS)) == 1
        client = endpoint.client()
        video = client.videos.create(prompt="a red circle", extra_body={"num_inference_steps": 1000}).id
        threads = [threading.Thread(target=follow, args=(endpoint, video)) for _ in range(STREAMS)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + MORE_S
        while len(endpoint.processes(INGRESS)) < 2:
            assert time.monotonic() < deadline, endpoint.log
            time.sleep(0.5)
        # Each answers for it.
        assert {client.videos.retrieve(video).status for _ in range(10)} <= {"queued", "in_progress"}
        client.videos.delete(video)
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
