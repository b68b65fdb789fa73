"""Stored files as answers: whole, and every kind of range."""

import asyncio
from pathlib import Path

import pytest
from starlette.responses import Response, StreamingResponse

from pipelines.serving.content import answer_file
from pipelines.serving.problems import ApiProblem
from pipelines.store import LocalStore

DATA = bytes(range(256)) * 4


def body(response: Response) -> bytes:
    assert isinstance(response, StreamingResponse)

    async def read() -> bytes:
        return b"".join([bytes(chunk) async for chunk in response.body_iterator])  # type: ignore[arg-type]

    return asyncio.run(read())


def answer(folder: Path, header: str | None, data: bytes = DATA) -> Response:
    store = LocalStore(folder)
    store.put("content/v/video.mp4", data)
    found = store.stat("content/v/video.mp4")
    assert found is not None
    return answer_file(store, found, "video/mp4", "v.mp4", header)


def test_without_a_range_the_whole_is_answered(tmp_path: Path) -> None:
    response = answer(tmp_path, None)
    assert (response.status_code, body(response)) == (200, DATA)
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["content-length"] == "1024"
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-disposition"] == 'inline; filename="v.mp4"'
    assert "content-range" not in response.headers


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-1", 0, 1),
        ("bytes=10-19", 10, 19),
        ("bytes=1000-", 1000, 1023),
        ("bytes=1023-", 1023, 1023),
        ("bytes=1000-99999", 1000, 1023),
        ("bytes=-1", 1023, 1023),
        ("bytes=-100", 924, 1023),
        ("bytes = 5 - 6", 5, 6),
    ],
)
def test_a_range_is_answered_by_its_bytes(tmp_path: Path, header: str, first: int, last: int) -> None:
    response = answer(tmp_path, header)
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {first}-{last}/1024"
    assert response.headers["content-length"] == str(last - first + 1)
    assert body(response) == DATA[first : last + 1]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=0-3,8-9",
        "bytes=--5",
        "bytes=0x1-5",
        "items=0-3",
        "bytes=1.5-3",
        "bytes=０-３",
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_what_is_no_single_range_is_answered_by_the_whole(tmp_path: Path, header: str) -> None:
    response = answer(tmp_path, header)
    assert (response.status_code, body(response)) == (200, DATA)
    assert "content-range" not in response.headers


@pytest.mark.parametrize(
    "header", ["bytes=-1024", "bytes=-5000", "bytes=0-1023", "bytes=0-", "bytes=0-99999", f"bytes=0-{10**20}"]
)
def test_a_range_of_everything_has_every_byte(tmp_path: Path, header: str) -> None:
    response = answer(tmp_path, header)
    assert response.headers["content-length"] == "1024"
    assert body(response) == DATA


@pytest.mark.parametrize("header", ["bytes=1024-", "bytes=1024-2000", "bytes=999999999999999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(tmp_path: Path, header: str) -> None:
    with pytest.raises(ApiProblem) as raised:
        answer(tmp_path, header)
    assert (raised.value.status, raised.value.code) == (416, "invalid_range")
    assert raised.value.headers == {"content-range": "bytes */1024"}


def test_a_range_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ApiProblem, match="the range bytes=9-8 has nothing of 1024 bytes"):
        answer(tmp_path, "bytes=9-8")


def test_an_empty_file_is_answered_whole_and_has_no_range(tmp_path: Path) -> None:
    response = answer(tmp_path, None, b"")
    assert (response.status_code, response.headers["content-length"], body(response)) == (200, "0", b"")
    with pytest.raises(ApiProblem):
        answer(tmp_path, "bytes=0-0", b"")


@pytest.mark.parametrize(("first", "last"), [(0, 700_000), (262_143, 262_144), (300_000, 999_999), (1, 524_288)])
def test_a_range_of_many_chunks_is_put_together_exactly(tmp_path: Path, first: int, last: int) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(250_000))
    assert body(answer(tmp_path, f"bytes={first}-{last}", data)) == data[first : last + 1]


def test_a_large_file_is_read_in_chunks(tmp_path: Path) -> None:
    response = answer(tmp_path, None, bytes(1 << 20))
    assert isinstance(response, StreamingResponse)

    async def sizes() -> list[int]:
        return [len(chunk) async for chunk in response.body_iterator]

    assert asyncio.run(sizes()) == [256 << 10] * 4
