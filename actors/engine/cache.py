"""The broadcast cache: what attention computed, for as long as a later step reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from actors.engine.fp8 import Fp8Rows
from cluster.pab import Kind
from cluster.schedule import BroadcastSchedule

Kept = torch.Tensor | Fp8Rows


@dataclass(frozen=True)
class Place:
    """A block at a step."""

    layer: int
    step: int
    kinds: tuple[Kind, ...]
    """Of its sites, one each."""
    name: str = ""
    """Which block of its layer, where that has several."""


class BroadcastCache:
    """The outputs of one request and one guidance branch (or batch of branches).

    It is made for a run and dies with it. Only what a later step reads is stored, and the last read frees it,
    so outside the window it is empty. Outputs are those after the out-projection and before the gate; the schedule
    says in how many bits they are kept.
    """

    def __init__(self, schedule: BroadcastSchedule) -> None:
        self._schedule = schedule
        self._outputs: dict[tuple[Kind, int, str], Kept] = {}
        self._bytes = 0
        self.peak_bytes = 0

    @property
    def bytes(self) -> int:
        """What it holds now, in bytes."""
        return self._bytes

    @property
    def keeps_fp8(self) -> bool:
        """Whether it wants outputs in 8 bits."""
        return self._schedule.cache_dtype == "fp8"

    def wanted(self, place: Place) -> tuple[Kind, ...]:
        """The kinds whose outputs a later step reads."""
        return tuple(kind for kind in place.kinds if self._schedule.stores(kind, place.step, place.layer))

    def read(self, place: Place) -> dict[Kind, Kept]:
        """The outputs that are broadcast."""
        broadcast = (kind for kind in place.kinds if not self._schedule.computes(kind, place.step, place.layer))
        return {kind: self._outputs[kind, place.layer, place.name] for kind in broadcast}

    def end(self, place: Place, outputs: Mapping[Kind, Kept]) -> None:
        """Keep the outputs of `wanted`, and free what was read for the last time."""
        for kind, output in outputs.items():
            self._outputs[kind, place.layer, place.name] = output
            self._bytes += output.nbytes
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        for kind in place.kinds:
            if self._schedule.frees(kind, place.step, place.layer):
                self._bytes -= self._outputs.pop((kind, place.layer, place.name)).nbytes
