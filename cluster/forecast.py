"""What a video will send and hold, from the schedule alone."""

from dataclasses import dataclass, field
from typing import Literal

from cluster.model import ModelNumbers
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape


@dataclass(frozen=True, kw_only=True)
class CollectiveCount:
    """Calls of one collective, and the bytes a rank handed to it, its own part included."""

    calls: int = 0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What rank 0, which holds the largest share, will send and hold."""

    all_to_all: CollectiveCount = field(default_factory=CollectiveCount)
    all_gather: CollectiveCount = field(default_factory=CollectiveCount)
    cache_bytes: int = 0
    """The most that the broadcast cache holds at once."""


def forecast(
    numbers: ModelNumbers,
    shape: Shape,
    schedule: BroadcastSchedule,
    width: int,
    *,
    guidance_scale: float = 7.5,
    passes: Literal["batched", "two_pass"] = "batched",
    element_bytes: int = 4,
) -> Forecast:
    """Count a spatial-temporal model's collectives and cache on a gang of `width`.

    A temporal attention that computes makes two all-to-alls, each of the rank's whole share (paper sec. 3.4);
    the final latents are gathered once. Guidance doubles the bytes, and in two passes the calls instead of
    the size of each.
    """
    branches = 2 if guidance_scale > 1 else 1
    all_frames, patches = numbers.latent_frames(shape), numbers.num_patches(shape)
    frames = -(-all_frames // width)
    token_bytes = branches * numbers.hidden_size * element_bytes
    share = frames * patches * token_bytes
    cache_bytes = _peak_outputs(numbers, schedule) * share
    if width == 1:
        return Forecast(cache_bytes=cache_bytes)
    sites = schedule.computed["temporal"] * numbers.num_layers
    calls = 2 * sites * (branches if passes == "two_pass" else 1)
    there = share
    back = all_frames * -(-patches // width) * token_bytes
    return Forecast(
        all_to_all=CollectiveCount(calls=calls, bytes=sites * (there + back)),
        all_gather=CollectiveCount(calls=1, bytes=frames * _latent_bytes(numbers, shape, element_bytes)),
        cache_bytes=cache_bytes,
    )


def _latent_bytes(numbers: ModelNumbers, shape: Shape, element_bytes: int) -> int:
    """Bytes of one frame's latents."""
    pixels = (shape.height // numbers.vae_scale) * (shape.width // numbers.vae_scale)
    return numbers.latent_channels * pixels * element_bytes


def _peak_outputs(numbers: ModelNumbers, schedule: BroadcastSchedule) -> int:
    """The most outputs, each of the rank's whole share, that are held at one moment.

    In a step the sites run layer by layer; each stores or frees as it passes. So the peak is found by
    walking the sites of all steps in order.
    """
    held = peak = 0
    for step in range(schedule.num_steps):
        for layer in range(numbers.num_layers):
            for kind in numbers.sites:
                if schedule.stores(kind, step, layer):
                    held += 1
                elif schedule.frees(kind, step, layer):
                    held -= 1
                peak = max(peak, held)
    return peak
