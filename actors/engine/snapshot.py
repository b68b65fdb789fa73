"""A video in the making, so that any gang can go on with it (design, decision 7).

Before a step at which every kind computes, nothing is read from the broadcast cache: the latents, what the sampler
remembers and the step's number are the whole state of a run, whatever the gang's width.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Held:
    """Stands among a sampler's fields where it has a tensor of the shape of the latents."""

    index: int
    """In `Snapshot.remembered`."""
    dtype: str
    """Of the tensor, as torch names it."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of a run before a step."""

    step: int
    """The step to go on with."""
    latents: Floats
    """As the ranks share them out, all parts joined; float32, which holds bfloat16 exactly."""
    remembered: tuple[Floats, ...] = ()
    """The sampler's tensors of the latents' shape, likewise."""
    sampler: Mapping[str, Any] = field(default_factory=dict)
    """The sampler's other fields, as `take_part` writes them."""


@dataclass(frozen=True, kw_only=True)
class SnapshotPart:
    """One rank's share of a snapshot."""

    rank: int
    """Its place among those that share out the video; where each half of a gang has a branch, two ranks have one."""
    ranks: int
    """How many share it out."""
    axis: int
    """Along which the shares are joined, in the order of the ranks."""
    share: Snapshot

    @property
    def step(self) -> int:
        """The step to go on with."""
        return self.share.step


def join_parts(parts: Iterable[SnapshotPart]) -> Snapshot | None:
    """The latest snapshot of which all parts are among `parts`; None if there is none.

    Ranks run apart while they send each other nothing, so their parts may be of different steps.
    """
    steps: dict[int, dict[int, SnapshotPart]] = {}
    for part in parts:
        steps.setdefault(part.step, {})[part.rank] = part
    for _, shares in sorted(steps.items(), reverse=True):
        if len(shares) == next(iter(shares.values())).ranks:
            return _join([shares[rank] for rank in sorted(shares)])
    return None


def _join(parts: list[SnapshotPart]) -> Snapshot:
    shares, axis = [part.share for part in parts], parts[0].axis
    remembered = zip(*(share.remembered for share in shares), strict=True)
    return Snapshot(
        step=shares[0].step,
        latents=np.concatenate([share.latents for share in shares], axis=axis),
        remembered=tuple(np.concatenate(tensors, axis=axis) for tensors in remembered),
        sampler=shares[0].sampler,
    )
