"""Jobs and outcomes as JSON."""

import json

import pytest

from pipelines.pab_text import read_pab
from pipelines.serving.job import Outcome, VideoJob
from tests.pipelines.samples import request
from tests.pipelines.serving.jobs import DONE, FAILED, new


def test_a_job_is_the_same_after_json() -> None:
    fields = {"prompt": 'Ünï "\n\u2028 \U0001f3a5', "guidance_scale": 0.1 + 0.2, "seed": 2**63 - 1}
    for pab in ("off", "pab246", "mlp=0+1@720+640x2,timesteps=100:800"):
        job = VideoJob.new("ann", request(pab=read_pab(pab), **fields), 60.0, remixed_from="video_0")
        assert VideoJob.from_json(job.to_json()) == job


@pytest.mark.parametrize("outcome", [DONE, FAILED, Outcome(result="deleted", at=1.25)])
def test_an_outcome_is_the_same_after_json_and_unique_to_its_writer(outcome: Outcome) -> None:
    assert Outcome.from_json(outcome.to_json()) == outcome
    assert outcome.to_json() != outcome.to_json()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"{", b"\xff", b'{"request": null}', b'{"id": 1, "request": {}}'])
def test_what_is_no_job_and_no_outcome_is_a_value_error(data: bytes) -> None:
    for read in (VideoJob.from_json, Outcome.from_json):
        with pytest.raises(ValueError):
            read(data)


@pytest.mark.parametrize("data", [b"null", b"1", b'"a text"'])
def test_json_that_is_no_object_is_a_value_error(data: bytes) -> None:
    for read in (Outcome.from_json, VideoJob.from_json):
        with pytest.raises(ValueError):
            read(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [("created_at", "soon"), ("id", 1), ("owner", None), ("steps", "x"), ("prompt", 7), ("pab", "nope"), ("more", 1)],
)
def test_a_job_with_a_value_of_another_type_is_a_value_error(name: str, value: object) -> None:
    content = json.loads(new().to_json())
    place = content if name in content or name == "more" else content["request"]
    place[name] = value
    with pytest.raises(ValueError, match="not a job"):
        VideoJob.from_json(json.dumps(content).encode())
