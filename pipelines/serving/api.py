"""The Videos API as an ASGI app. What it does is the desk's; here are paths, headers and the shape of answers."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Match, Route

from cluster.errors import ClusterError, StoreError
from pipelines.serving.body import read_fields
from pipelines.serving.content import answer_file
from pipelines.serving.desk import Desk
from pipelines.serving.figures import exposition
from pipelines.serving.jobs import FILES, Damaged, Variant
from pipelines.serving.page_files import FILES as PAGE_FILES
from pipelines.serving.page_files import page_state, read_file
from pipelines.serving.problems import ApiProblem, error_body
from pipelines.serving.schemas import ANSWERS, BODIES
from pipelines.serving.traffic import Traffic

log = logging.getLogger("pabcast.api")

POLL_AFTER_S = (0.5, 10.0)
"""How long OpenAI's client is asked to wait before it looks again, at least and at most."""
POLLS = 10
"""How often it would look at a video that is made when it is said to be."""
_SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'"
    ),
}


def make_api(desk_of: Callable[[], Desk]) -> FastAPI:
    """The app; `desk_of` gives the desk of the process that it runs in."""
    api = FastAPI(
        title="pabcast",
        version="1",
        description="Videos from text.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _handle_problems(api)
    _add_videos(api, desk_of)
    _add_states(api, desk_of)
    _add_page(api, desk_of)
    return api


def _owner(desk_of: Callable[[], Desk]) -> Any:
    scheme = HTTPBearer(auto_error=False, description="A key of the endpoint.") if desk_of().keys.wanted else _no_scheme

    def owner(request: Request, _: Annotated[object, Depends(scheme)]) -> str:
        name = desk_of().keys.name_of(request.headers.get("authorization"))
        if name is None:
            raise ApiProblem(
                401,
                "no key, or an unknown one; send Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        return name

    return Depends(owner)


def _no_scheme() -> None:
    """What the OpenAPI document says of keys where none is wanted."""


def _add_videos(api: FastAPI, desk_of: Callable[[], Desk]) -> None:
    who = _owner(desk_of)
    most_bytes = desk_of().config.http.max_body_bytes

    @api.post("/v1/videos", openapi_extra=BODIES["create"], responses=ANSWERS["video"])
    async def create(
        request: Request, owner: str = who, idempotency_key: Annotated[str | None, Header()] = None
    ) -> Response:
        """Ask for a video."""
        fields = await read_fields(request, most_bytes)
        return _video(await desk_of().create(owner, fields, _bounded(idempotency_key)))

    @api.get("/v1/videos", responses=ANSWERS["page"])
    async def page(
        owner: str = who,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        """The key's videos, a page at a time."""
        return JSONResponse(await desk_of().page(owner, after, limit, order))

    @api.head("/v1/videos/{video_id}", include_in_schema=False)
    @api.get("/v1/videos/{video_id}", responses=ANSWERS["video"])
    async def retrieve(video_id: str, owner: str = who) -> Response:
        """A video's state."""
        return _video(await desk_of().video(owner, video_id))

    @api.delete("/v1/videos/{video_id}", responses=ANSWERS["deleted"])
    async def delete(video_id: str, owner: str = who) -> Response:
        """Forget a video; if it is being made, that stops."""
        await desk_of().delete(owner, video_id)
        return JSONResponse({"id": video_id, "object": "video.deleted", "deleted": True})

    @api.head("/v1/videos/{video_id}/content", include_in_schema=False)
    @api.get("/v1/videos/{video_id}/content", responses=ANSWERS["content"], response_class=StreamingResponse)
    async def content(
        video_id: str,
        owner: str = who,
        variant: Variant = "video",
        range_: Annotated[str | None, Header(alias="range")] = None,
    ) -> Response:
        """The video file, its thumbnail or a sheet of its frames; ranges of it too."""
        found = await desk_of().content(owner, video_id, variant)
        file, media_type = FILES[variant]
        return answer_file(desk_of().jobs.store, found, media_type, f"{video_id}-{file}", range_)

    @api.post("/v1/videos/{video_id}/remix", openapi_extra=BODIES["remix"], responses=ANSWERS["video"])
    async def remix(
        request: Request, video_id: str, owner: str = who, idempotency_key: Annotated[str | None, Header()] = None
    ) -> Response:
        """Ask for the same video with another prompt."""
        fields = await read_fields(request, most_bytes)
        return _video(await desk_of().remix(owner, video_id, fields, _bounded(idempotency_key)))

    @api.get("/v1/videos/{video_id}/events", responses=ANSWERS["events"], response_class=StreamingResponse)
    async def events(video_id: str, owner: str = who) -> Response:
        """Server-sent events: the Video at every change of its status or step, until it has ended."""
        await desk_of().find(owner, video_id)
        stream = _events(desk_of().events(owner, video_id))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})


def _add_states(api: FastAPI, desk_of: Callable[[], Desk]) -> None:
    who = _owner(desk_of)

    @api.get("/v1/models", responses=ANSWERS["models"])
    async def models(owner: str = who) -> Response:
        """The model that there is."""
        model = {"id": desk_of().config.model.id, "object": "model", "created": 0, "owned_by": "pabcast"}
        return JSONResponse({"object": "list", "data": [model]})

    @api.head("/healthz", include_in_schema=False)
    @api.get("/healthz", responses=ANSWERS["live"])
    async def healthz() -> Response:
        """Whether this process lives."""
        return JSONResponse({"status": "live"})

    @api.head("/readyz", include_in_schema=False)
    @api.get("/readyz", responses=ANSWERS["ready"])
    async def readyz() -> Response:
        """Whether a gang can be had, and new requests are taken."""
        state = await desk_of().clerk.state()
        pool = state["pool"]
        ready = pool is not None and pool["phase"] == "ready" and not state["closing"]
        status = "ready" if ready else "ending" if state["closing"] else "not ready"
        return JSONResponse({"status": status}, status_code=200 if ready else 503)

    @api.get("/metrics", responses=ANSWERS["metrics"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return PlainTextResponse(exposition(await desk_of().clerk.state()), media_type="text/plain; version=0.0.4")


def _add_page(api: FastAPI, desk_of: Callable[[], Desk]) -> None:
    def add(path: str, media_type: str) -> None:
        @api.head(path, include_in_schema=False)
        @api.get(path, include_in_schema=False)
        async def file() -> Response:
            return Response(read_file(path), media_type=media_type, headers={"cache-control": "no-cache"})

    for path, (_, media_type) in PAGE_FILES.items():
        add(path, media_type)

    @api.get("/page.json", include_in_schema=False)
    async def state() -> Response:
        return JSONResponse(page_state(desk_of().config, await desk_of().clerk.state()))


def _handle_problems(api: FastAPI) -> None:
    traffic = Traffic()

    @api.middleware("http")
    async def secure(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            response = await call(request)
        except Exception:
            traffic.answered(request, 500)
            raise
        traffic.answered(request, response.status_code)
        for name, value in _SECURITY.items():
            response.headers.setdefault(name, value)
        return response

    @api.exception_handler(ApiProblem)
    async def problem(request: Request, error: ApiProblem) -> Response:
        return JSONResponse(error.body(), status_code=error.status, headers=error.headers)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return JSONResponse(error_body(400, f"{name}: {first['msg']}", "invalid_value", name), status_code=400)

    @api.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(api, request)  # in the place of the first route's
        text = f"{request.method} {request.url.path[:200]}: {error.detail}"
        return JSONResponse(error_body(error.status_code, text, code), status_code=error.status_code, headers=headers)

    @api.exception_handler(StoreError)
    async def store(request: Request, error: StoreError) -> Response:
        log.error("%s", error)
        if isinstance(error, Damaged):
            text = "what is kept of this video is damaged; it can only be deleted"
            return JSONResponse(error_body(500, text, "damaged", "video_id"), status_code=500)
        traffic.store_failed()
        body = error_body(503, "the store cannot be reached; try again later", "store_unavailable")
        return JSONResponse(body, status_code=503, headers={"retry-after": "5"})

    @api.exception_handler(ClusterError)
    async def away(request: Request, error: ClusterError) -> Response:
        text = f"{error}; try again later (with an Idempotency-Key, what was taken in already is not made twice)"
        body = error_body(503, text, "unavailable")
        return JSONResponse(body, status_code=503, headers={"retry-after": "5"})

    @api.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse(error_body(500, "an error of the endpoint's own; its log says more", "internal"), 500)


def _allowed(api: FastAPI, request: Request) -> str:
    """The methods of a path: each has a route of its own here."""
    routes = [route for route in api.routes if isinstance(route, Route)]
    found = [route.methods or set() for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted(set().union(*found)))


def _video(view: dict[str, Any]) -> Response:
    least, most = POLL_AFTER_S
    after_s = min(most, max(least, (view["eta_seconds"] or 0.0) / POLLS))
    return JSONResponse(view, headers={"openai-poll-after-ms": str(round(1000 * after_s))})


async def _events(views: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    async for view in views:
        yield f"event: {view['status']}\ndata: {json.dumps(view)}\n\n"


def _bounded(key: str | None) -> str | None:
    if key is not None and not 0 < len(key) <= 255:
        raise ApiProblem(400, f"Idempotency-Key has {len(key)} characters; 1 to 255 are taken", code="invalid_value")
    return key
