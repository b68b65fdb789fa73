"""Rows of a prompt dataset into checked requests, or into the one sentence that says what is wrong with a row."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from actors.engine.request import VideoRequest
from cluster.errors import RequestError
from cluster.guidance import Guidance
from cluster.model import ModelNumbers
from cluster.pab import PabConfig
from cluster.shape import Shape
from pipelines.config import VideoConfig
from pipelines.sampling import WANTED, Sampling, limit_problem
from pipelines.widths import GangConfig

MAX_NAME_BYTES = 1024
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|nan", re.IGNORECASE)
Fields = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class RowDefaults:
    """What a row does not say, and what its model can do."""

    sampling: Sampling
    model: str
    model_revision: str
    pab: PabConfig
    numbers: ModelNumbers
    gang: GangConfig
    guidance: Guidance = "batched"

    @classmethod
    def of(cls, config: VideoConfig, numbers: ModelNumbers, model_revision: str = "") -> "RowDefaults":
        """Of a job, with the numbers of its model."""
        return cls(
            sampling=config.sampling,
            model=config.model.id,
            model_revision=model_revision,
            pab=config.pab,
            numbers=numbers,
            gang=config.gang,
            guidance=config.options.guidance,
        )


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that no video can be made of."""

    source: str
    """Its file and line, as in prompts.jsonl:17."""
    reason: str
    """One sentence."""
    id: str = ""
    """The row's own name, if it has one that can be read."""


def read_row(fields: Fields, source: str, defaults: RowDefaults) -> list[VideoRequest] | BadRow:
    """The requests of one row, one a sample (seed, seed + 1, ...; named id, id-2, ...), or why there are none.

    `fields` are the row's columns; unknown ones are ignored, for prompt datasets carry columns of their own.
    Nothing, null and NaN stand for the default; a text that spells a number is that number (CSV has only texts).
    """
    try:
        request = _read_request(fields, defaults)
        count = int(_number(fields, "num_samples", 1))
        last = limit_problem("seed", request.seed + count - 1)
        if last:
            raise RequestError(f"the last of {count} samples has a seed out of range: {last}")
    except RequestError as error:
        return bad_row(fields, source, str(error))
    return [_sample(request, number) for number in range(1, count + 1)]


def read_source_row(row: Mapping[str, Any], defaults: RowDefaults) -> list[VideoRequest] | BadRow:
    """As `read_row`, of a row as the prompt source gives it: `source`, `fields` in JSON, `problem`."""
    source, problem = str(row["source"]), str(row["problem"] or "")
    fields = json.loads(row["fields"] or "{}")
    return bad_row(fields, source, problem) if problem else read_row(fields, source, defaults)


def bad_row(fields: Fields, source: str, reason: str) -> BadRow:
    """A `BadRow` for `fields`, which may be anything."""
    try:
        name = _name(fields) or ""
    except RequestError:
        name = ""
    return BadRow(source=source, reason=reason, id=name)


def later_seed(request: VideoRequest, places: int) -> VideoRequest | None:
    """The same request with a seed `places` further on; None if there is no such seed."""
    seed = request.seed + places
    return None if limit_problem("seed", seed) else replace(request, seed=seed)


def duplicate_reason(request: VideoRequest) -> str:
    """Why a row that asks for what an earlier row asked for is refused."""
    return (
        f"an earlier row asks for the same prompt, seed {request.seed} and settings; "
        "change the seed, or use num_samples for more of one prompt"
    )


def _sample(request: VideoRequest, number: int) -> VideoRequest:
    """The request of a row's sample, counted from 1: from the second on with a seed and a name of its own."""
    if number == 1:
        return request
    name = f"{request.id}-{number}" if request.id else None
    return replace(request, seed=request.seed + number - 1, id=name)


def _read_request(fields: Fields, defaults: RowDefaults) -> VideoRequest:
    sampling = defaults.sampling
    request = VideoRequest(
        prompt=_prompt(fields, defaults.numbers),
        negative_prompt=_text(fields, "negative_prompt", defaults.numbers.max_prompt_bytes) or "",
        seed=int(_number(fields, "seed", sampling.seed)),
        height=int(_number(fields, "height", sampling.height)),
        width=int(_number(fields, "width", sampling.width)),
        num_frames=int(_number(fields, "num_frames", sampling.num_frames)),
        fps=int(_number(fields, "fps", sampling.fps)),
        steps=int(_number(fields, "steps", sampling.steps)),
        guidance_scale=float(_number(fields, "guidance_scale", sampling.guidance_scale)),
        model=defaults.model,
        model_revision=defaults.model_revision,
        pab=defaults.pab,
        id=_name(fields),
    )
    check_shape(request.shape, request.branches, defaults)
    return request


def check_shape(shape: Shape, branches: int, defaults: RowDefaults) -> None:
    """Raise `RequestError` if the model or the job's gangs cannot make `shape` with so many guidance branches."""
    defaults.numbers.check(shape)
    if not defaults.gang.is_by_cost:
        defaults.gang.width_for(shape, defaults.numbers, branches, defaults.guidance)


def _prompt(fields: Fields, numbers: ModelNumbers) -> str:
    text = _text(fields, "prompt", numbers.max_prompt_bytes)
    if text is None or not text.strip():
        raise RequestError("the prompt is empty")
    return text


def _text(fields: Fields, name: str, max_bytes: int) -> str | None:
    value = fields.get(name)
    if _is_missing(value):
        return None
    if not isinstance(value, str):
        raise RequestError(f"{name} is {_show(value)}; a text is wanted")
    if "\0" in value:
        raise RequestError(f"{name} has a NUL at character {value.index(chr(0)) + 1}; it is not text")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise RequestError(f"{name} has half a surrogate pair at character {error.start + 1}; it is not text") from None
    if size > max_bytes:
        raise RequestError(f"{name} has {size:,} bytes; at most {max_bytes:,} are taken")
    return value


def _name(fields: Fields) -> str | None:
    value = fields.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(fields, "id", MAX_NAME_BYTES)


def _number(fields: Fields, name: str, default: float) -> float:
    value = fields.get(name)
    number = spelled_number(value) if isinstance(value, str) else value
    if value is None or value == "" or (isinstance(number, float) and math.isnan(number)):
        return default
    whole = name != "guidance_scale"
    if isinstance(number, float) and whole and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
        raise RequestError(f"{name} is {_show(value)}; {WANTED[name]} is wanted")
    problem = limit_problem(name, number)
    if problem:
        raise RequestError(problem)
    return number


def spelled_number(text: str) -> float | None:
    """The number that `text` is, NaN included; of what Python reads, 1_6 and other scripts' digits are none."""
    if not _NUMBER.fullmatch(text.strip()):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
