"""Reads from a video's pixels which colour its dominant object has and which way it moves."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actors.engine.demo.scenes import Scene
from actors.engine.demo.vocabulary import COLOURS, DIRECTIONS

# An RGB distance (0 to sqrt 3): pixels closer to the background than this belong to it.
FOREGROUND_DISTANCE = 0.25
# Frames averaged at either end for the way moved, and the least cosine with an axis that counts as its direction.
END_FRAMES = 4
LEAST_COSINE = 0.85


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the pixels show; `colour` and `direction` are None where nothing stands out or nothing moves."""

    colour: str | None
    direction: str | None


@dataclass(frozen=True, kw_only=True)
class Score:
    """Shares (0 to 1) of the videos whose dominant object was read as its scene says."""

    num_videos: int
    colour: float
    direction: float


def read_video(video: Tensor) -> Reading:
    """The reading of one video: [T, 3, H, W], float in [-1, 1] or uint8 in 0..255.

    The dominant object is the palette colour that covers the most pixels off the background, which is
    the median colour of each frame; its way is that of its pixels' centroid.
    """
    frames = video.float() / 255 if video.dtype == torch.uint8 else (video.float().clamp(-1, 1) + 1) / 2
    background = frames.flatten(2).median(-1).values[:, :, None, None]
    stands_out = (frames - background).square().sum(1).sqrt() > FOREGROUND_DISTANCE
    palette = torch.tensor(list(COLOURS.values()), device=frames.device)
    nearest = (frames[:, None] - palette[None, :, :, None, None]).square().sum(2).argmin(1)
    counts = torch.bincount(nearest[stands_out], minlength=len(COLOURS))
    if int(counts.sum()) == 0:
        return Reading(colour=None, direction=None)
    dominant = int(counts.argmax())
    return Reading(
        colour=list(COLOURS)[dominant],
        direction=_direction(_centroids(stands_out & (nearest == dominant))),
    )


def _centroids(mask_THW: Tensor) -> Tensor:
    """Centres (x, y) in pixels of the frames in which anything is set: [frames, 2]."""
    _, height, width = mask_THW.shape
    weight = mask_THW.float()
    area = weight.sum((1, 2))
    y = (weight.sum(2) @ torch.arange(height, device=weight.device).float()) / area
    x = (weight.sum(1) @ torch.arange(width, device=weight.device).float()) / area
    return torch.stack([x, y], 1)[area > 0]


def _direction(centroids: Tensor) -> str | None:
    if len(centroids) < 2 * END_FRAMES:
        return None
    way = centroids[-END_FRAMES:].mean(0) - centroids[:END_FRAMES].mean(0)
    if float(way.norm()) < 1:
        return None
    for name, axis in DIRECTIONS.items():
        if float(way @ torch.tensor(axis, device=way.device, dtype=way.dtype) / way.norm()) > LEAST_COSINE:
            return name
    return None


def score(readings: Sequence[Reading], scenes: Sequence[Scene]) -> Score:
    """How often `readings` agree with the first objects of `scenes`."""
    pairs = list(zip(readings, scenes, strict=True))
    return Score(
        num_videos=len(pairs),
        colour=sum(reading.colour == scene.first.colour for reading, scene in pairs) / len(pairs),
        direction=sum(reading.direction == scene.first.direction for reading, scene in pairs) / len(pairs),
    )
