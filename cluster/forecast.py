"""What a video will send and hold, from the schedule alone."""

from dataclasses import dataclass, field
from typing import Literal

from cluster.guidance import Guidance, Layout
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
    swaps: CollectiveCount = field(default_factory=CollectiveCount)
    """Predictions that the halves of a gang, each with a guidance branch, hand to each other."""
    cache_bytes: int = 0
    """The most that the broadcast cache holds at once."""


def forecast(
    numbers: ModelNumbers,
    shape: Shape,
    schedule: BroadcastSchedule,
    width: int,
    *,
    branches: Literal[1, 2] = 2,
    guidance: Guidance = "batched",
    element_bytes: int = 4,
) -> Forecast:
    """Count a model's collectives and cache on a gang of `width`.

    An attention over what is shared out, temporal or joint, makes two all-to-alls where it computes: of the rank's
    whole share there and back (paper sec. 3.4), or with joint attention of its queries, keys and values there and of
    its heads' output back. The final latents are gathered once. Guidance doubles the bytes, and in two passes the
    calls instead of the size of each; split, each half of the gang exchanges those of one branch, and every step ends
    with a swap of the predictions.
    """
    layout = Layout.of(guidance, branches, width)
    sharers, token_bytes = layout.sharers, layout.branches * numbers.hidden_size * element_bytes
    row_bytes = layout.branches * _kept_bytes(numbers, schedule, element_bytes)
    cache_bytes = _peak_outputs(numbers, schedule) * numbers.rows(shape, sharers) * row_bytes
    part = _latent_elements(numbers, shape, sharers)
    swaps = CollectiveCount()
    if layout.splits(width):
        prediction_bytes = part * (numbers.prediction_bytes or element_bytes)
        swaps = CollectiveCount(calls=schedule.num_steps, bytes=schedule.num_steps * prediction_bytes)
    if sharers == 1:
        return Forecast(swaps=swaps, cache_bytes=cache_bytes)
    sites = schedule.computed[numbers.shared_kind] * numbers.num_layers
    calls = 2 * sites * (branches if guidance == "two_pass" else 1)
    return Forecast(
        all_to_all=CollectiveCount(calls=calls, bytes=sites * _exchanged_bytes(numbers, shape, sharers, token_bytes)),
        all_gather=CollectiveCount(calls=1, bytes=part * (numbers.latent_bytes or element_bytes)),
        swaps=swaps,
        cache_bytes=cache_bytes,
    )


def _kept_bytes(numbers: ModelNumbers, schedule: BroadcastSchedule, element_bytes: int) -> int:
    """What the cache keeps of a token of one branch; in 8 bits, with a float32 scale."""
    return numbers.hidden_size + 4 if schedule.cache_dtype == "fp8" else numbers.hidden_size * element_bytes


def _exchanged_bytes(numbers: ModelNumbers, shape: Shape, width: int, token_bytes: int) -> int:
    """What rank 0 hands over for one attention, there and back."""
    rows = numbers.rows(shape, width)
    if numbers.joint:
        return 3 * rows * token_bytes + numbers.sequence(shape) * token_bytes // width
    back = numbers.latent_frames(shape) * -(-numbers.num_patches(shape) // width)
    return (rows + back) * token_bytes


def _latent_elements(numbers: ModelNumbers, shape: Shape, width: int) -> int:
    """Elements of rank 0's share of the final latents."""
    if numbers.joint:
        return numbers.video_rows(shape, width) * numbers.latent_channels * numbers.patch_size**2
    pixels = (shape.height // numbers.vae_scale) * (shape.width // numbers.vae_scale)
    return -(-numbers.latent_frames(shape) // width) * numbers.latent_channels * pixels


def _peak_outputs(numbers: ModelNumbers, schedule: BroadcastSchedule) -> int:
    """The most outputs, each of the rank's whole share, that are held at one moment.

    In a step the blocks run layer by layer; each stores as it ends, and then frees what it has read for the last
    time. So the peak is found by walking the blocks of all steps in order, alike ones once.
    """
    walked: dict[tuple[bool, ...], tuple[int, int]] = {}
    held = peak = 0
    for step in range(schedule.num_steps):
        flags = tuple(flag for row in schedule.table.values() for flag in (row[step], all(row[step + 1 : step + 2])))
        highest, change = walked[flags] = walked.get(flags) or _walk(numbers, schedule, step)
        peak = max(peak, held + highest)
        held += change
    return peak


def _walk(numbers: ModelNumbers, schedule: BroadcastSchedule, step: int) -> tuple[int, int]:
    """The most outputs that are held in a step, and how many at its end; both counted from those held before."""
    held = highest = 0
    for layer in range(numbers.num_layers):
        for block in numbers.blocks:
            held += sum(schedule.stores(kind, step, layer) for kind in block)
            highest = max(highest, held)
            held -= sum(schedule.frees(kind, step, layer) for kind in block)
    return highest, held
