"""What requests are counted as, by an app whose routes are those of the API."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from pipelines.serving.traffic import REQUESTS, route_of


def route_and_status(method: str, path: str) -> tuple[str, int]:
    app, seen = FastAPI(), []

    @app.middleware("http")
    async def watch(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        seen.append((route_of(request, response.status_code), response.status_code))
        return response

    @app.post("/v1/videos")
    async def create() -> None: ...

    @app.get("/v1/videos/{video_id}")
    async def retrieve(video_id: str) -> None: ...

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None: ...

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    (only,) = seen
    return only


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("POST", "/v1/videos", "POST /v1/videos", 200),
        ("GET", "/v1/videos/video_1", "GET /v1/videos/{video_id}", 200),
        ("GET", "/v1/nothing/of/the/kind", "none", 404),
        ("BREW", "/v1/videos", "none", 405),
    ],
)
def test_a_request_counts_for_the_route_that_the_api_declares(method: str, path: str, route: str, status: int) -> None:
    assert route_and_status(method, path) == (route, status)


def test_what_alerts_ask_for_is_exported_before_it_first_occurs() -> None:
    assert {("POST /v1/videos", status) for status in ("200", "429", "500", "503")} <= set(REQUESTS.known)
