"""The fields of a request's body, be it JSON or a form."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from pipelines.serving.problems import ApiProblem

_MOST_FIELDS = 64
_MOST_DRAINED = 64 << 20


async def read_fields(request: Request, most_bytes: int) -> dict[str, Any]:
    """Names and values; a form's are all text. Nested ones, as clients write them, are `a[b]` or JSON in a text.

    Raises:
        ApiProblem: larger than `most_bytes`, not what its Content-Type says, or another one than these.
    """
    await _bound(request, most_bytes)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        text = f"Content-Encoding is {encoding[:64]}; send the body as it is"
        raise ApiProblem(415, text, code="unsupported_media_type")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _json(await request.body())
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _form(request)
    raise ApiProblem(
        415,
        f"Content-Type is {kind or 'missing'}; application/json or multipart/form-data is wanted",
        code="unsupported_media_type",
    )


async def _bound(request: Request, most_bytes: int) -> None:
    """Read the body and keep no more of it than is taken.

    The rest is read too, within reason: many clients hear no answer while they still send.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most_bytes:
            chunks.append(chunk)
        elif size > _MOST_DRAINED:
            break
    if size > most_bytes:
        raise ApiProblem(
            413, f"the body has {size:,} bytes or more; at most {most_bytes:,} are taken", code="request_too_large"
        )
    request._body = b"".join(chunks)  # where starlette keeps a body that has been read


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ApiProblem(400, f"the body is not JSON: {error}", code="invalid_json") from error
    if not isinstance(content, Mapping):
        raise ApiProblem(400, "the body is no JSON object", code="invalid_json")
    return {str(name): value for name, value in content.items() if value is not None}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


async def _form(request: Request) -> dict[str, Any]:
    try:
        form = await request.form(max_files=1, max_fields=_MOST_FIELDS)
    except (HTTPException, MultiPartException, AssertionError, ValueError) as error:
        detail = getattr(error, "detail", "") or str(error)
        raise ApiProblem(400, f"the form cannot be read: {detail}", code="invalid_form") from error
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            raise ApiProblem(
                400,
                f"{name[:64]} is a file; videos are made of text alone here, and every field is a text",
                code="unsupported_parameter",
                param=name[:64],
            )
        if name in fields:
            raise ApiProblem(400, f"the form has {name[:64]!r} twice", code="invalid_form", param=name[:64])
        fields[name] = value
    return fields
