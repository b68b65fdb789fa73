"""The engine: one model, one gang's rank, Pyramid Attention Broadcast; torch without Ray.

Names are loaded at first use, so that who only plans (a request, a schedule, a model's card) does not pay for
importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.engine.cache import BroadcastCache
    from actors.engine.card import ModelCard, check_weights, inspect_model
    from actors.engine.engine import Engine, RankOutput
    from actors.engine.report import VideoReport
    from actors.engine.request import RunOptions, VideoRequest
    from actors.engine.sampling_times import timesteps
    from actors.engine.sequence import FrameParallel
    from actors.engine.snapshot import Snapshot, SnapshotPart, join_parts
    from actors.engine.stop import StopSignal
    from cluster.forecast import CollectiveCount
    from cluster.schedule import BroadcastSchedule

__all__ = [
    "BroadcastCache",
    "BroadcastSchedule",
    "CollectiveCount",
    "Engine",
    "FrameParallel",
    "ModelCard",
    "RankOutput",
    "RunOptions",
    "Snapshot",
    "SnapshotPart",
    "StopSignal",
    "VideoReport",
    "VideoRequest",
    "check_weights",
    "inspect_model",
    "join_parts",
    "timesteps",
]

_HOMES = {
    "BroadcastCache": "actors.engine.cache",
    "BroadcastSchedule": "cluster.schedule",
    "CollectiveCount": "cluster.forecast",
    "Engine": "actors.engine.engine",
    "FrameParallel": "actors.engine.sequence",
    "ModelCard": "actors.engine.card",
    "RankOutput": "actors.engine.engine",
    "RunOptions": "actors.engine.request",
    "Snapshot": "actors.engine.snapshot",
    "SnapshotPart": "actors.engine.snapshot",
    "StopSignal": "actors.engine.stop",
    "VideoReport": "actors.engine.report",
    "VideoRequest": "actors.engine.request",
    "check_weights": "actors.engine.card",
    "inspect_model": "actors.engine.card",
    "join_parts": "actors.engine.snapshot",
    "timesteps": "actors.engine.sampling_times",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
