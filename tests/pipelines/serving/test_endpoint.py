"""The endpoint as OpenAI's own client and a browser's requests find it, with the demo model on two workers."""

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from pipelines.places import ROOT
from pipelines.video import decode_mp4
from tests.pipelines.serving.endpoint import Endpoint, running

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PROMPT = "a red circle moving left over a black background"
KEYS = {"ann": "key of ann", "ben": "key of ben"}
QUICK = {"num_inference_steps": 2, "seed": 5}
VARIANTS = ("video", "thumbnail", "spritesheet")
FILE_FORM = b'--x\r\nContent-Disposition: form-data; name="prompt"; filename="a.txt"\r\n\r\na\r\n--x--\r\n'
LONG = {"num_inference_steps": 400}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("endpoint")
    lines = [f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items()]
    (folder / "keys.txt").write_text("\n".join(lines))
    keys = ("auth.disabled=false", f"auth.keys_file={folder}/keys.txt")
    with running(folder, *keys, "limits.queue=4", "limits.per_key=3", "gang.width=1") as found:
        yield found


@pytest.fixture
def ann(endpoint: Endpoint) -> Iterator[openai.OpenAI]:
    client = endpoint.client(KEYS["ann"])
    yield client
    for video in client.videos.list():
        client.videos.delete(video.id)


def wait_for(client: openai.OpenAI, video_id: str, status: str, timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while (video := client.videos.retrieve(video_id)).status != status:
        assert time.monotonic() < deadline, video
        time.sleep(0.1)
    return video


def test_a_video_is_made_and_each_variant_can_be_had(ann: openai.OpenAI) -> None:
    video = ann.videos.create_and_poll(prompt=PROMPT, size="96x64", extra_body=QUICK)
    assert (video.status, video.progress, video.size, video.seconds) == ("completed", 100, "96x64", "2")
    assert video.expires_at and video.completed_at and video.completed_at >= video.created_at
    content = {name: ann.videos.download_content(video.id, variant=name).read() for name in VARIANTS}
    assert decode_mp4(content["video"]).shape == (16, 64, 96, 3)
    assert Image.open(io.BytesIO(content["thumbnail"])).size == (96, 64)
    assert Image.open(io.BytesIO(content["spritesheet"])).size == (4 * 96, 4 * 64)


def test_a_range_of_the_content_can_be_had(ann: openai.OpenAI, endpoint: Endpoint) -> None:
    video = ann.videos.create_and_poll(prompt=PROMPT, extra_body=QUICK)
    path = f"/v1/videos/{video.id}/content"
    whole = endpoint.get(path, KEYS["ann"])[1]
    assert endpoint.get(path, KEYS["ann"], Range="bytes=4-7") == (206, whole[4:8])
    assert endpoint.get(path, KEYS["ann"], Range=f"bytes={len(whole)}-")[0] == 416
    asked = urllib.request.Request(endpoint.url + path, method="HEAD")
    asked.add_header("Authorization", f"Bearer {KEYS['ann']}")
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert (answer.headers["content-length"], answer.read()) == (str(len(whole)), b"")


def test_a_remix_is_the_same_video_with_another_prompt(ann: openai.OpenAI) -> None:
    first = ann.videos.create(prompt=PROMPT, size="64x96", extra_body=QUICK)
    again = ann.videos.remix(first.id, prompt="a blue circle moving left over a black background")
    assert again.remixed_from_video_id == first.id
    assert (again.size, again.seconds, again.model) == (first.size, first.seconds, first.model)
    assert again.prompt != first.prompt
    assert again.to_dict()["seed"] == QUICK["seed"]
    assert wait_for(ann, again.id, "completed").error is None


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [({"size": "64x64"}, "size", "leave out size"), ({}, "prompt", "is empty"), ({"prompt": 7}, "prompt", "is 7")],
)
def test_a_remix_takes_a_prompt_and_nothing_else(
    ann: openai.OpenAI, endpoint: Endpoint, fields: dict[str, object], param: str, says: str
) -> None:
    first = ann.videos.create(prompt=PROMPT, extra_body=QUICK)
    header = {"authorization": f"Bearer {KEYS['ann']}", "content_type": "application/json"}
    status, said, _ = endpoint.post(f"/v1/videos/{first.id}/remix", json.dumps(fields).encode(), **header)
    assert (status, said["error"]["param"]) == (400, param)  # type: ignore[index]
    assert says in said["error"]["message"]  # type: ignore[index]


def test_a_list_goes_over_pages_newest_first(ann: openai.OpenAI) -> None:
    made = []
    for seed in range(5):
        video = ann.videos.create(prompt=PROMPT, extra_body=QUICK | {"seed": seed})
        made.append(wait_for(ann, video.id, "completed").id)
    pages = [[video.id for video in page.data] for page in ann.videos.list(limit=2).iter_pages()]
    assert [len(page) for page in pages if page] == [2, 2, 1]
    assert [name for page in pages for name in page] == made[::-1]
    assert [video.id for video in ann.videos.list(limit=2, order="asc")] == made
    after = ann.videos.list(after=made[2], order="desc")
    assert [video.id for video in after.data] == made[1::-1]


def test_videos_can_be_deleted_while_they_are_listed(ann: openai.OpenAI) -> None:
    made = [ann.videos.create(prompt=PROMPT, extra_body=QUICK | {"seed": seed}).id for seed in range(3)]
    for name in made:
        wait_for(ann, name, "completed")
    deleted = [ann.videos.delete(video.id).id for video in ann.videos.list(limit=1)]
    assert deleted == made[::-1]
    assert list(ann.videos.list()) == []


def test_a_damaged_video_is_left_out_of_lists_and_can_be_deleted(ann: openai.OpenAI, endpoint: Endpoint) -> None:
    good, damaged = (wait_for(ann, ann.videos.create(prompt=PROMPT, extra_body=QUICK).id, "completed") for _ in "ab")
    (file,) = endpoint.store.glob(f"jobs/*/{damaged.id}.json")
    file.write_text("{half")
    assert [video.id for video in ann.videos.list()] == [good.id]
    with pytest.raises(openai.InternalServerError) as caught:
        ann.videos.retrieve(damaged.id)
    assert caught.value.code == "damaged"
    assert ann.videos.delete(damaged.id).deleted


def test_a_store_is_one_endpoints(endpoint: Endpoint, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "serve", str(ROOT / "configs/serve.yaml")]
    command += [f"http.port={Endpoint(tmp_path).port}", f"store.uri={endpoint.store}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1, result.stderr
    assert "another endpoint uses store.uri" in result.stderr


def test_a_deleted_video_stops_and_its_gang_is_free_at_once(ann: openai.OpenAI, endpoint: Endpoint) -> None:
    running = [ann.videos.create(prompt=PROMPT, extra_body=LONG | {"seed": seed}) for seed in range(2)]
    for video in running:
        wait_for(ann, video.id, "in_progress")
    behind = ann.videos.create(prompt=PROMPT, extra_body=QUICK)
    assert ann.videos.retrieve(behind.id).status == "queued"
    assert ann.videos.delete(running[0].id).deleted is True
    wait_for(ann, behind.id, "completed")
    still = ann.videos.retrieve(running[1].id)
    assert still.status == "in_progress", "it should have been made by the gang of the deleted one"
    with pytest.raises(openai.NotFoundError):
        ann.videos.retrieve(running[0].id)
    assert not list(endpoint.store.glob(f"content/{running[0].id}/*"))


def test_events_tell_of_a_videos_way_and_end_with_it(ann: openai.OpenAI, endpoint: Endpoint) -> None:
    video = ann.videos.create(prompt=PROMPT, extra_body={"num_inference_steps": 60})
    status, body = endpoint.get(f"/v1/videos/{video.id}/events", KEYS["ann"])
    events = [json.loads(line.removeprefix("data: ")) for line in body.decode().splitlines() if line[:5] == "data:"]
    assert status == 200
    assert events[-1]["status"] == "completed"
    progress = [event["progress"] for event in events]
    assert progress == sorted(progress)
    steps = {event["step"] for event in events if event["step"]}
    assert len(steps) >= 0.8 * 60


def test_nobody_else_sees_it(ann: openai.OpenAI, endpoint: Endpoint) -> None:
    video = ann.videos.create(prompt=PROMPT, extra_body=QUICK)
    ben = endpoint.client(KEYS["ben"])
    assert list(ben.videos.list()) == []
    for call in (ben.videos.retrieve, ben.videos.delete, ben.videos.download_content):
        with pytest.raises(openai.NotFoundError):
            call(video.id)
    assert ann.videos.retrieve(video.id).id == video.id
    with pytest.raises(openai.AuthenticationError, match="unknown one") as caught:
        endpoint.client("another").videos.list()
    assert caught.value.code == "invalid_api_key"
    assert endpoint.get("/v1/videos")[0] == 401


@pytest.mark.parametrize(
    ("asked", "code", "param", "says"),
    [
        ({"size": "65x64"}, "invalid_value", "size", "width 65 is not divisible by 16; the nearest below is 64"),
        ({"size": "15360x8640"}, "invalid_value", "size", "is outside 64 to 512"),
        ({"size": "big"}, "invalid_value", "size", "as 64x64"),
        ({"model": "sora-2"}, "model_not_found", "model", "this endpoint has demo"),
        ({"prompt": "  "}, "invalid_value", "prompt", "the prompt is empty"),
        ({"prompt": "x" * 5000}, "invalid_value", "prompt", "5,000 bytes; at most"),
        (
            {"extra_body": {"num_inference_steps": 0}},
            "invalid_value",
            "num_inference_steps",
            "num_inference_steps is 0",
        ),
        ({"extra_body": {"num_inference_steps": "many"}}, "invalid_value", "num_inference_steps", "'many'"),
        ({"extra_body": {"pab": "spatial=0"}}, "invalid_value", "pab", "a range is 1"),
        ({"extra_body": {"pab": "/etc/passwd.yaml"}}, "invalid_value", "pab", "one of off, "),
        ({"extra_body": {"stepps": 3}}, "unknown_parameter", "stepps", "unknown parameter"),
        ({"extra_body": {"input_reference": "http://10.0.0.1/x"}}, "unsupported_parameter", "input_reference", "text"),
    ],
)
def test_what_cannot_be_made_is_refused_with_code_and_parameter(
    ann: openai.OpenAI, asked: dict[str, Any], code: str, param: str, says: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(openai.BadRequestError, match=says) as caught:
        ann.videos.create(**{"prompt": PROMPT} | asked)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert time.monotonic() - begun < 1
    assert list(ann.videos.list()) == []


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"[1]", "application/json", 400, "invalid_json"),
        (b'{"prompt": "a", "guidance_scale": NaN}', "application/json", 400, "invalid_json"),
        (b'{"prompt": "a", "width": "' + b"1" * 1_000_000 + b'x"}', "application/json", 400, "invalid_value"),
        (b"[" * 100_000, "application/json", 400, "invalid_json"),
        (b"no form", "multipart/form-data; boundary=x", 400, "invalid_form"),
        (b"no form", "multipart/form-data", 400, "invalid_form"),
        (FILE_FORM, "multipart/form-data; boundary=x", 400, "unsupported_parameter"),
        (b"hello", "text/plain", 415, "unsupported_media_type"),
        (json.dumps({"prompt": "x" * 10_000_000}).encode(), "application/json", 413, "request_too_large"),
        (json.dumps({"prompt": ["a", 1]}).encode(), "application/json", 400, "invalid_value"),
        (json.dumps({"prompt": PROMPT, "seed": {"a": 1}}).encode(), "application/json", 400, "invalid_value"),
        (b'{"prompt": "half \\ud800"}', "application/json", 400, "invalid_value"),
    ],
)
def test_a_bad_body_is_told_in_a_second(
    ann: openai.OpenAI, endpoint: Endpoint, body: bytes, kind: str, status: int, code: str
) -> None:
    begun = time.monotonic()
    got, said, _ = endpoint.post("/v1/videos", body, content_type=kind, authorization=f"Bearer {KEYS['ann']}")
    assert (got, said["error"]["code"]) == (status, code)  # type: ignore[index]
    assert time.monotonic() - begun < 1


def test_a_body_that_is_packed_is_refused(ann: openai.OpenAI, endpoint: Endpoint) -> None:
    header = {"authorization": f"Bearer {KEYS['ann']}", "content_type": "application/json", "content_encoding": "gzip"}
    status, said, _ = endpoint.post("/v1/videos", gzip.compress(b'{"prompt": "a cat"}'), **header)
    assert (status, said["error"]["code"]) == (415, "unsupported_media_type")  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/videos", "GET, POST"), ("/v1/videos/video_0", "DELETE, GET, HEAD"), ("/v1/videos/video_0/remix", "POST")],
)
def test_another_method_is_told_those_that_there_are(endpoint: Endpoint, path: str, allowed: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(endpoint.url + path, method="PATCH"), timeout=10)
    assert (caught.value.code, caught.value.headers["allow"]) == (405, allowed)


def test_a_place_to_go_on_from_that_is_none_is_told(endpoint: Endpoint) -> None:
    status, body = endpoint.get("/v1/videos?after=nope", KEYS["ann"])
    assert (status, json.loads(body)["error"]["param"]) == (404, "after")


def test_no_path_is_led_to_another(endpoint: Endpoint) -> None:
    assert endpoint.get("/v1/videos/", KEYS["ann"])[0] == 404


@pytest.mark.parametrize("name", ["..%2f..%2fjobs", "video_0", "x" * 3000, "%00", "video_" + "0" * 44])
def test_an_id_that_is_none_is_not_found(endpoint: Endpoint, name: str) -> None:
    for path in (f"/v1/videos/{name}", f"/v1/videos/{name}/content", f"/v1/videos/{name}/events"):
        status, body = endpoint.get(path, KEYS["ann"])
        assert (status, json.loads(body)["error"]["code"]) == (404, "not_found")


def test_a_full_queue_answers_429_with_a_time_and_takes_more_later(ann: openai.OpenAI, endpoint: Endpoint) -> None:
    made = [ann.videos.create(prompt=PROMPT, extra_body=LONG) for _ in range(3)]
    with pytest.raises(openai.RateLimitError, match="3 of your videos") as caught:
        ann.videos.create(prompt=PROMPT)
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    ben = endpoint.client(KEYS["ben"])
    last = ben.videos.create(prompt=PROMPT, extra_body=LONG)
    with pytest.raises(openai.RateLimitError, match="4 videos wait") as caught:
        ben.videos.create(prompt=PROMPT)
    assert caught.value.code == "queue_full"
    ben.videos.delete(last.id)
    ann.videos.delete(made[0].id)
    assert ann.videos.create(prompt=PROMPT, extra_body=QUICK).status == "queued"


def test_a_request_that_is_repeated_with_its_key_makes_one_video(ann: openai.OpenAI) -> None:
    header = {"Idempotency-Key": "once"}
    first = ann.videos.create(prompt=PROMPT, extra_body=LONG, extra_headers=header)
    assert ann.videos.create(prompt=PROMPT, extra_body=LONG, extra_headers=header).id == first.id
    assert len(list(ann.videos.list())) == 1
    with pytest.raises(openai.ConflictError) as caught:
        ann.videos.create(prompt="another", extra_body=LONG, extra_headers=header)
    assert caught.value.code == "idempotency_key_reused"
    ann.videos.delete(first.id)
    with pytest.raises(openai.APIStatusError) as gone:
        ann.videos.create(prompt=PROMPT, extra_body=LONG, extra_headers=header)
    assert (gone.value.status_code, gone.value.code) == (410, "deleted")


def test_states_are_told_without_a_key(endpoint: Endpoint) -> None:
    assert endpoint.get("/healthz")[0] == endpoint.get("/readyz")[0] == 200
    figures = endpoint.get("/metrics")[1].decode()
    assert 'pabcast_serve_jobs{state="waiting"}' in figures
    document = json.loads(endpoint.get("/openapi.json")[1])
    assert "/v1/videos/{video_id}/remix" in document["paths"]
    assert endpoint.get("/v1/models")[0] == 401
    assert json.loads(endpoint.get("/v1/models", KEYS["ben"])[1])["data"][0]["id"] == "demo"


def test_prompts_and_keys_are_not_logged(endpoint: Endpoint) -> None:
    assert "red circle" not in endpoint.log
    assert KEYS["ann"] not in endpoint.log


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["http.port={port}"], "http.port {port} cannot be had: Address already in use"),
        (["auth.disabled=false", "auth.keys_file={folder}/none.txt"], "auth.keys_file .* cannot be read"),
        (["http.host=0.0.0.0"], "auth.disabled is true and http.host is 0.0.0.0"),
        (["cluster.workers=100000"], "cluster.workers is 100000, but this machine holds"),
        (["model=nope"], "neither a known model"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_starts(
    endpoint: Endpoint, tmp_path: Path, overrides: list[str], says: str
) -> None:
    given = {"port": endpoint.port, "folder": tmp_path}
    command = [sys.executable, "-m", "pipelines.cli", "serve", str(ROOT / "configs/serve.yaml")]
    command += [f"store.uri={tmp_path}/store", *(override.format(**given) for override in overrides)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2, result.stderr
    assert re.search(says.format(**given), result.stderr)
    assert "Traceback" not in result.stderr


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_accepted_video_is_made_once_whatever_is_killed(tmp_path: Path) -> None:
    """Twenty jobs; the clerk, an ingress process, the pool and then everything are killed while they are made."""
    endpoint = Endpoint(tmp_path)
    endpoint.start()
    try:
        client = endpoint.client()
        asked = {"num_inference_steps": 30}
        made = [client.videos.create(prompt=PROMPT, extra_body=asked | {"seed": seed}).id for seed in range(20)]
        for title in ("ray::ServeReplica:pabcast:clerk", "ray::ServeReplica:pabcast:ingress", "ray::Pool"):
            time.sleep(4)
            endpoint.processes(title)[0].kill()
            statuses = wait_until_answered(endpoint)
            assert statuses <= {200, 503} or title.endswith("ingress")  # for that one Ray's proxy answers
        time.sleep(4)
        endpoint.kill()
        outcomes = {file.stem: file.read_bytes() for file in endpoint.store.glob("outcomes/*.json")}
        assert len(outcomes) < 20, "everything was made before everything was killed"
        endpoint.start()
        client = endpoint.client()
        for name in made:
            wait_for(client, name, "completed", timeout_s=300)
        assert sorted(video.id for video in client.videos.list(limit=100)) == sorted(made)
        for name, outcome in outcomes.items():
            assert (endpoint.store / f"outcomes/{name}.json").read_bytes() == outcome
        assert len(list(endpoint.store.glob("content/*/video.mp4"))) == 20
    finally:
        status = endpoint.stop()
    assert status == 0


def wait_until_answered(endpoint: Endpoint) -> set[int]:
    """The statuses until the clerk answers again."""
    deadline, statuses = time.monotonic() + 60, {0}
    while 200 not in statuses:
        assert time.monotonic() < deadline, endpoint.log
        time.sleep(0.2)
        statuses.add(endpoint.get("/v1/videos?limit=20")[0])
    return statuses - {0}
