"""An endpoint that is told to end while it makes a video."""

import json
import time
from pathlib import Path

import pytest

from tests.pipelines.serving.endpoint import Endpoint

pytestmark = pytest.mark.slow

LONG = {"prompt": "a red circle moving left over a black background", "num_inference_steps": 600}


def test_one_that_ends_is_not_ready_takes_nothing_in_and_keeps_what_is_left(tmp_path: Path) -> None:
    endpoint = Endpoint(tmp_path, "limits.drain_s=8")
    endpoint.start()
    try:
        body = json.dumps(LONG).encode()
        status, video, _ = endpoint.post("/v1/videos", body, content_type="application/json")
        assert status == 200
        deadline = time.monotonic() + 30
        while json.loads(endpoint.get(f"/v1/videos/{video['id']}")[1])["status"] != "in_progress":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        endpoint.tell_to_stop()
        while (ready := endpoint.get("/readyz"))[0] == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (ready[0], json.loads(ready[1])) == (503, {"status": "ending"})
        status, said, headers = endpoint.post("/v1/videos", body, content_type="application/json")
        assert (status, said["error"]["code"]) == (503, "shutting_down")  # type: ignore[index]
        assert int(headers["retry-after"]) >= 1
        assert endpoint.get(f"/v1/videos/{video['id']}")[0] == 200
    finally:
        status = endpoint.stop()
    assert status == 0
    assert "has 8 s (limits.drain_s)" in endpoint.log
    assert "1 videos are left for the next start" in endpoint.log
    assert not list(endpoint.store.glob("outcomes/*"))
