"""A video that was asked for: what was asked, by whom, and what became of it. All of it is JSON in the store."""

import json
import secrets
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from actors.engine.request import VideoRequest
from cluster.errors import ConfigError
from pipelines.pab_text import read_pab
from pipelines.strict import build

Result = Literal["completed", "failed", "deleted"]


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """One accepted request; it never changes."""

    id: str
    """`video_`, 12 hex digits of its time in ms, and 32 that nobody can guess: ids sort by time."""
    owner: str
    """The name of the key that asked."""
    created_at: float
    """Seconds since 1970."""
    expires_at: float
    request: VideoRequest
    remixed_from: str | None = None

    @classmethod
    def new(cls, owner: str, request: VideoRequest, keep_s: float, remixed_from: str | None = None) -> Self:
        """A job of now."""
        now = time.time()
        return cls(
            id=f"video_{int(now * 1000):012x}{secrets.token_hex(16)}",
            owner=owner,
            created_at=now,
            expires_at=now + keep_s,
            request=request,
            remixed_from=remixed_from,
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """What `to_json` wrote; `ValueError` if it is something else."""
        content = _object(data, "job")
        try:
            pab = read_pab(content["request"].pop("pab"))
            job = build(cls, content)
        except (AttributeError, KeyError, TypeError, ConfigError) as error:
            raise ValueError(f"not a job: {error}") from error
        return replace(job, request=replace(job.request, pab=pab))

    def to_json(self) -> bytes:
        """It as JSON; unique to its writer, as its id is."""
        plain = asdict(self)
        plain["request"]["pab"] = self.request.pab.text()
        return json.dumps(plain, indent=1).encode()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended."""

    result: Result
    at: float
    """Seconds since 1970."""
    code: str = ""
    """Of a failed one: request_error, internal_error or deadline_exceeded."""
    message: str = ""
    """Of a failed one, one sentence."""
    gang: int = 0
    """Of a completed one: how many workers made it."""
    seconds: float = 0.0
    """Of a completed one: from the lease to the decoded frames."""

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """What `to_json` wrote; `ValueError` if it is something else."""
        content = _object(data, "outcome")
        content.pop("writer", None)
        try:
            return build(cls, content)
        except ConfigError as error:
            raise ValueError(f"not an outcome: {error}") from error

    def to_json(self) -> bytes:
        """It as JSON, with a nonce of its writer: one whose answer was lost knows its own by it."""
        return json.dumps({**asdict(self), "writer": secrets.token_hex(8)}, indent=1).encode()


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except RecursionError as error:
        raise ValueError(f"not {what}: too deeply nested") from error
    if not isinstance(content, dict):
        raise ValueError(f"no {what}: not an object of JSON")
    return content
