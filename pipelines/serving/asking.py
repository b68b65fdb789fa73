"""From the fields of a request to the video that is asked for."""

import difflib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from actors.engine.request import VideoRequest
from cluster.errors import ConfigError, RequestError
from cluster.pab import PabConfig
from pipelines.pab_text import EXAMPLE, check_blocks, presets, read_pab
from pipelines.rows import BadRow, RowDefaults, read_row, spelled_number
from pipelines.serving.problems import ApiProblem, bad_request

_RENAMED = {"num_inference_steps": "steps"}
_AS_THEY_ARE = ("prompt", "negative_prompt", "seed", "fps", "num_frames", "width", "height", "guidance_scale")
FIELDS = (*_AS_THEY_ARE, *_RENAMED, "model", "size", "seconds", "pab")
_EITHER = (("size", "width"), ("size", "height"), ("seconds", "num_frames"))
_TEXTS = ("prompt", "negative_prompt", "model", "size", "seconds", "pab")
_NO_MEDIA = ("input_reference", "image", "video")


def read_request(fields: Mapping[str, Any], defaults: RowDefaults) -> VideoRequest:
    """The video that `fields` ask for; what they do not say is as `defaults` say, a seed by chance.

    Raises:
        ApiProblem: an unknown field, or a video that cannot be made, with the parameter that says so.
    """
    _check_names(fields)
    model = fields.get("model", defaults.model)
    if model != defaults.model:
        raise ApiProblem(
            400,
            f"model is {str(model)[:64]!r}; this endpoint has {defaults.model}",
            code="model_not_found",
            param="model",
        )
    row = {name: fields[name] for name in _AS_THEY_ARE if name in fields}
    row |= {column: fields[name] for name, column in _RENAMED.items() if name in fields}
    row |= _edges(fields, defaults)
    if row.get("seed", "") == "":
        row["seed"] = secrets.randbelow(2**31)
    if "seconds" in fields:
        row["num_frames"] = _frames(fields["seconds"], row.get("fps") or defaults.sampling.fps)
    found = read_row(row, "the request", _with_pab(defaults, fields))
    if isinstance(found, BadRow):
        raise _problem(found.reason, fields)
    return found[0]


def _problem(reason: str, fields: Mapping[str, Any]) -> ApiProblem:
    """Of a request that no video can be made of, in its own words: it may have said `seconds` for `num_frames`."""
    if "seconds" in fields and reason.startswith("num_frames"):
        text = f"seconds is {str(fields['seconds'])[:40]!r}: {reason}"
        return ApiProblem(400, text, code="invalid_value", param="seconds")
    return bad_request(RequestError(reason))


def _check_names(fields: Mapping[str, Any]) -> None:
    for one, other in _EITHER:
        if one in fields and other in fields:
            text = f"{one} and {other} are both given; give one of them"
            raise ApiProblem(400, text, code="invalid_value", param=other)
    for name, value in fields.items():
        if name in _NO_MEDIA:
            raise ApiProblem(
                400,
                f"{name}: videos are made of text alone here; leave it out",
                code="unsupported_parameter",
                param=name,
            )
        if name not in FIELDS:
            renamed = [asked for asked, column in _RENAMED.items() if column == name]
            near = renamed or difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(FIELDS)}"
            raise ApiProblem(400, f"unknown parameter {name[:64]!r}{hint}", code="unknown_parameter", param=name[:64])
        if name not in _TEXTS and isinstance(value, str) and value.strip().lower() == "nan":
            # In a dataset it stands for nothing, which is the default; nobody means that here.
            raise ApiProblem(400, f"{name} is {value!r}; a number is wanted", code="invalid_value", param=name)


def _edges(fields: Mapping[str, Any], defaults: RowDefaults) -> dict[str, str]:
    if "size" not in fields:
        return {}
    width, times, height = str(fields["size"]).partition("x")
    if not (times and _is_digits(width) and _is_digits(height) and len(width) + len(height) < 12):
        usual = f"{defaults.sampling.width}x{defaults.sampling.height}"
        text = f"size is {str(fields['size'])[:40]!r}; width x height in pixels is wanted, as {usual}"
        raise ApiProblem(400, text, code="invalid_value", param="size")
    return {"width": width, "height": height}


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _frames(seconds: object, fps: object) -> int:
    rate = _positive(fps)
    if rate is None:
        text = f"fps is {str(fps)[:40]!r}; a whole number of frames a second is wanted"
        raise ApiProblem(400, text, code="invalid_value", param="fps")
    length = _positive(seconds)
    if length is None or round(length * rate) < 1:
        text = f"seconds is {str(seconds)[:40]!r}; a number above 0 is wanted"
        raise ApiProblem(400, text, code="invalid_value", param="seconds")
    return round(length * rate)


def _positive(value: object) -> float | None:
    number = spelled_number(str(value))
    return number if number is not None and 0 < number < 1e9 else None


def _with_pab(defaults: RowDefaults, fields: Mapping[str, Any]) -> RowDefaults:
    """`defaults` with the request's own PAB: a preset or a line of text, no file."""
    if "pab" not in fields:
        return defaults
    text = fields["pab"]
    try:
        if not isinstance(text, str) or len(text) > 1000 or not ("=" in text or text in _pab_names()):
            near = difflib.get_close_matches(text[:64], _pab_names(), n=1) if isinstance(text, str) else []
            hint = f"; did you mean {near[0]}?" if near else ""
            names = ", ".join(_pab_names())
            raise ConfigError(f"pab is {str(text)[:40]!r}; one of {names}, or a text like {EXAMPLE} is wanted{hint}")
        pab: PabConfig = read_pab(text)
        check_blocks(pab, defaults.numbers.num_layers)
    except ConfigError as error:
        raise ApiProblem(400, str(error), code="invalid_value", param="pab") from error
    return replace(defaults, pab=pab)


def _pab_names() -> list[str]:
    return ["off", *presets()]
