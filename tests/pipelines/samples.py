"""Committed samples for tests, without a model."""

import hashlib
from typing import Any

from actors.engine.request import VideoRequest
from pipelines.commits import CommittedSample

VIDEO = b"the bytes of a video file"


def request(number: int = 0, **changes: Any) -> VideoRequest:
    values: dict[str, Any] = {
        "prompt": f"a red circle number {number}",
        "seed": number,
        "height": 64,
        "width": 96,
        "num_frames": 16,
        "steps": 4,
        "guidance_scale": 4.0,
        "model": "demo",
        "model_revision": hashlib.sha256(b"demo").hexdigest(),
    }
    return VideoRequest(**(values | changes))


def sample(number: int = 0, video: bytes = VIDEO, **changes: Any) -> CommittedSample:
    return CommittedSample.of(
        request(number, **changes), video, source=f"prompts.txt:{number + 1}", gang_width=2, seconds=1.5
    )
