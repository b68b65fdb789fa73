"""What the API says when it says no, in the shape of OpenAI's errors."""

from typing import Any

from cluster.errors import RequestError


class ApiProblem(Exception):
    """An answer that is an error; `headers` go with it."""

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = _line(message)
        self.code = code
        self.param = None if param is None else _line(param)
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """It as JSON."""
        return error_body(self.status, self.message, self.code, self.param)


_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_PARAMS = {
    "steps": "num_inference_steps",
    **dict.fromkeys(("height", "width"), "size"),
    **{name: name for name in ("prompt", "negative_prompt", "seed", "fps", "num_frames", "guidance_scale", "pab")},
}


def _line(text: str) -> str:
    """`text` as one line that any encoding takes."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def error_body(status: int, message: str, code: str, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def bad_request(error: RequestError) -> ApiProblem:
    """A request that no video can be made of; the parameter is the one that the sentence begins with, if any."""
    text = str(error)
    first = text.removeprefix("the ").partition(" ")[0].partition(".")[0]
    if first == "steps":
        text = text.replace("steps", _PARAMS[first], 1)
    return ApiProblem(400, text, code="invalid_value", param=_PARAMS.get(first))


def not_found(job_id: str, param: str = "video_id") -> ApiProblem:
    """No such video, or one of another key: nobody learns which."""
    shown = job_id if len(job_id) <= 64 else f"{job_id[:61]}..."
    return ApiProblem(404, f"there is no video {shown!r}", code="not_found", param=param)
