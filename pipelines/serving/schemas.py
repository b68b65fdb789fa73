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
_CREATE = {"type": "object", "required": ["prompt"], "properties": _NAMES}
_REMIX = {"type": "object", "required": ["prompt"], "properties": {"prompt": _NAMES["prompt"]}}
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


EXAMPLES: dict[str, Any] = {
    "create": _body(_CREATE, _ASKED),
    "remix": _body(_REMIX, {"prompt": "a blue circle moving left over a black background"}),
    "answers": {
        "4XX": {
            "description": "What is wrong with the request.",
            "content": {"application/json": {"schema": _ERROR}},
        }
    },
}
