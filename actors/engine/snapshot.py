"""A video in the making, so that any gang can go on with it (design, decision 7).

Before a step at which every kind computes, nothing is read from the broadcast cache: the latents and the step's
number are the whole state of a run, whatever the gang's width.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SnapshotPart:
    """One rank's share of a snapshot."""

    step: int
    """The step to go on with."""
    first_frame: int
    latents: Floats
    """(1, C, t, h, w), this rank's frames; float32, which holds bfloat16 exactly."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The latents of all frames before a step."""

    step: int
    """The step to go on with."""
    latents: Floats
    """(1, C, T, h, w)."""


def join_parts(parts: Iterable[SnapshotPart], ranks: int) -> Snapshot | None:
    """The latest snapshot of which the parts of all `ranks` are among `parts`; None if there is none.

    Ranks run apart while they send each other nothing, so their parts may be of different steps.
    """
    steps: dict[int, dict[int, SnapshotPart]] = {}
    for part in parts:
        steps.setdefault(part.step, {})[part.first_frame] = part
    for step in sorted(steps, reverse=True):
        if len(steps[step]) == ranks:
            shares = [steps[step][first].latents for first in sorted(steps[step])]
            return Snapshot(step=step, latents=np.concatenate(shares, axis=2))
    return None
