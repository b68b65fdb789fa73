"""What the OpenAPI document says of bodies and answers that FastAPI does not read itself."""

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_NAMES = {
    "prompt": {"type": "string", "minLength": 1},
    "model": _TEXT,
    "size": {"type": "string", "pattern": r"^\d{1,5}x\d{1,5}$"},
    "seconds": _TEXT,
    "negative_prompt": _TEXT,
    "seed": {"type": "integer", "minimum": 0},
    "fps": {"type": "integer", "minimum": 1},
    "num_frames": {"type": "integer", "minimum": 1},
    "num_inference_steps": {"type": "integer", "minimum": 1},
    "guidance_scale": {"type": "number", "minimum": 0},
    "pab": _TEXT,
}
_STATUS = {"enum": ["queued", "in_progress", "completed", "failed"]}
_CREATE = {"type": "object", "required": ["prompt"], "properties": _NAMES, "additionalProperties": False}
_REMIX = {**_CREATE, "properties": {"prompt": _NAMES["prompt"]}}
_ASKED = {"prompt": "a red circle moving left over a black background", "size": "64x64", "pab": "pab246"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def _body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    kinds = ("application/json", "multipart/form-data")
    return {
        "requestBody": {"required": True, "content": {kind: {"schema": schema, "example": example} for kind in kinds}}
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _or_null(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


_VIDEO = _object(
    {
        "id": _TEXT,
        "object": {"const": "video"},
        "model": _TEXT,
        "status": _STATUS,
        "progress": {"type": "integer", "minimum": 0, "maximum": 100},
        "created_at": {"type": "integer"},
        "completed_at": _or_null("integer"),
        "expires_at": {"type": "integer"},
        "seconds": _TEXT,
        "size": _NAMES["size"],
        "prompt": _TEXT,
        "remixed_from_video_id": _or_null("string"),
        "error": {"anyOf": [_object({"code": _TEXT, "message": _TEXT}), {"type": "null"}]},
        "negative_prompt": _TEXT,
        "seed": _NAMES["seed"],
        "fps": _NAMES["fps"],
        "num_frames": _NAMES["num_frames"],
        "num_inference_steps": _NAMES["num_inference_steps"],
        "guidance_scale": _NAMES["guidance_scale"],
        "pab": _TEXT,
        "queue_position": _or_null("integer"),
        "eta_seconds": _or_null("number"),
        "step": _or_null("integer"),
        "gang": _or_null("integer"),
        "gang_reason": _or_null("string"),
        "preview": _or_null("string"),
    }
)
_PAGE = _object(
    {
        "object": {"const": "list"},
        "data": {"type": "array", "items": _VIDEO},
        "first_id": _or_null("string"),
        "last_id": _or_null("string"),
        "has_more": {"type": "boolean"},
    }
)
_DELETED = _object({"id": _TEXT, "object": {"const": "video.deleted"}, "deleted": {"const": True}})
_MODELS = _object({"object": {"const": "list"}, "data": {"type": "array", "items": {"type": "object"}}})
_STATE = _object({"status": _TEXT})
_EVENT = _object({"event": _STATUS, "data": {**_TEXT, "contentMediaType": "application/json", "contentSchema": _VIDEO}})
"""One server-sent event; its data is a Video as JSON."""


def _json(schema: dict[str, Any], what: str) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": schema}}}


def _answers(good: dict[str, Any], what: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a call: what it gives, or what is wrong."""
    return {
        200: _json(good, what),
        "4XX": _json(_ERROR, "What is wrong with the request."),
        500: _json(_ERROR, "An error of the endpoint's own."),
        503: _json(_ERROR, "Try again later: the store cannot be reached, or the endpoint ends."),
    }


def _files(what: str, *kinds: str, schema: dict[str, Any] = _TEXT) -> dict[str, Any]:
    return {"description": what, "content": {kind: {"schema": schema} for kind in kinds}}


_MEDIA = ("video/mp4", "image/webp", "image/jpeg")
BODIES: dict[str, Any] = {
    "create": _body(_CREATE, _ASKED),
    "remix": _body(_REMIX, {"prompt": "a blue circle moving left over a black background"}),
}
"""By call, what FastAPI does not read of its body."""
ANSWERS: dict[str, dict[int | str, dict[str, Any]]] = {
    "video": _answers(_VIDEO, "The video's state."),
    "page": _answers(_PAGE, "Some of the key's videos."),
    "deleted": _answers(_DELETED, "It is gone."),
    "models": _answers(_MODELS, "The model."),
    "content": {**_answers({}, ""), 200: _files("The file.", *_MEDIA), 206: _files("A range of it.", *_MEDIA)},
    "events": {**_answers({}, ""), 200: _files("The Video at every change.", "text/event-stream", schema=_EVENT)},
    "live": {200: _json(_STATE, "It lives.")},
    "ready": {200: _json(_STATE, "A gang can be had."), 503: _json(_STATE, "No gang can be had yet.")},
    "metrics": {200: _files("Figures.", "text/plain")},
}
"""By what a call gives, its answers."""
