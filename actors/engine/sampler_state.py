"""Takes a rank's state out of a run and puts it into another one.

Multi-step samplers (UniPC, PNDM) keep earlier predictions. Those have the shape of the rank's latents and are shared
out as the latents are; counters and the like are the same on every rank.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from actors.engine.parallel import SequenceParallel
from actors.engine.snapshot import Floats, Held, Snapshot, SnapshotPart


def take_part(step: int, latents: torch.Tensor, scheduler: Any, parallel: SequenceParallel) -> SnapshotPart:
    """The state of a rank that is about to do `step` on its part of the latents."""
    held = [latents]
    fields = {name: _without(value, held) for name, value in vars(scheduler).items() if _changes(value, latents)}
    # Copies, for samplers add to what they remember in place (PNDM), after the snapshot and after `resume`.
    first, *remembered = (tensor.to("cpu", torch.float32, copy=True).numpy() for tensor in held)
    share = Snapshot(step=step, latents=first, remembered=tuple(remembered), sampler=fields)
    collectives = parallel.collectives
    return SnapshotPart(rank=collectives.rank, ranks=collectives.width, axis=parallel.axis, share=share)


def resume(snapshot: Snapshot, scheduler: Any, parallel: SequenceParallel, like: torch.Tensor) -> torch.Tensor:
    """This rank's part of the latents, of the type of `like`; `scheduler`, set to as many steps, gets its memory."""

    def own(joined: Floats, dtype: torch.dtype) -> torch.Tensor:
        return parallel.own(torch.from_numpy(joined)).to(like.device, dtype, copy=True)

    def restored(place: Held) -> torch.Tensor:
        return own(snapshot.remembered[place.index], getattr(torch, place.dtype))

    for name, value in snapshot.sampler.items():
        setattr(scheduler, name, _with(value, restored))
    return own(snapshot.latents, like.dtype)


def _changes(value: Any, latents: torch.Tensor) -> bool:
    """Whether a field may change from step to step: timesteps and the like are set before the first."""
    if isinstance(value, torch.Tensor):
        return value.ndim == 0 or value.shape == latents.shape
    return value is None or isinstance(value, bool | int | float | list)


def _without(value: Any, held: list[torch.Tensor]) -> Any:
    """`value` without torch's tensors; those of the latents' shape go to `held`."""
    if isinstance(value, list):
        return [_without(part, held) for part in value]
    if not isinstance(value, torch.Tensor):
        return value
    if value.shape != held[0].shape:
        return value.cpu().numpy().copy()
    held.append(value)
    return Held(len(held) - 2, str(value.dtype).removeprefix("torch."))


def _with(value: Any, restored: Callable[[Held], torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_with(part, restored) for part in value]
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return restored(value) if isinstance(value, Held) else value
