"""A job as the API shows it: OpenAI's Video object, with more fields."""

from typing import Any

from pipelines.serving.job import Outcome, VideoJob
from pipelines.serving.queue import Look

_RUNNING_ENDS_AT = 99
"""Percent: 100 is a video that can be had."""


def video_object(job: VideoJob, outcome: Outcome | None, look: Look | None) -> dict[str, Any]:
    """The Video object of a job with its outcome, if it has ended, else as its clerk sees it, if it does."""
    request = job.request
    status = "queued" if look is None else look.status
    progress = 0 if look is None else min(_RUNNING_ENDS_AT, 100 * look.step // look.steps)
    if outcome is not None:
        status = "completed" if outcome.result == "completed" else "failed"
        progress = 100 if status == "completed" else progress
    return {
        "id": job.id,
        "object": "video",
        "model": request.model,
        "status": status,
        "progress": progress,
        "created_at": int(job.created_at),
        "completed_at": int(outcome.at) if outcome is not None and status == "completed" else None,
        "expires_at": int(job.expires_at),
        "seconds": f"{request.num_frames / request.fps:g}",
        "size": f"{request.width}x{request.height}",
        "prompt": request.prompt,
        "remixed_from_video_id": job.remixed_from,
        "error": _error(outcome),
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "fps": request.fps,
        "num_frames": request.num_frames,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "pab": request.pab.text(),
        **_progress(outcome, look),
    }


def _progress(outcome: Outcome | None, look: Look | None) -> dict[str, Any]:
    if outcome is not None or look is None:
        gang = outcome.gang if outcome is not None and outcome.gang else None
        nothing = dict.fromkeys(("queue_position", "eta_seconds", "step", "gang_reason", "preview"))
        return {**nothing, "gang": gang}
    return {
        "queue_position": look.queue_position,
        "eta_seconds": round(look.eta_s, 1),
        "step": look.step,
        "gang": look.gang,
        "gang_reason": look.reason,
        "preview": look.preview,
    }


def _error(outcome: Outcome | None) -> dict[str, str] | None:
    if outcome is None or outcome.result == "completed":
        return None
    if outcome.result == "deleted":
        return {"code": "deleted", "message": "the video was deleted"}
    return {"code": outcome.code, "message": outcome.message}
