"""The broadcast cache: what attention computed, for as long as a later step reads it."""

from collections.abc import Callable

import torch

from actors.engine.fp8 import Fp8Rows
from cluster.pab import Kind
from cluster.schedule import BroadcastSchedule

Site = tuple[Kind, int, str]
"""A kind, a layer, and a name where a layer has several sites of one kind."""


class BroadcastCache:
    """The outputs of one request and one guidance branch (or batch of branches).

    It is made for a run and dies with it. Only what a later step reads is stored, and the last read frees it,
    so outside the window it is empty. Outputs are those after the out-projection and before the gate; the schedule
    says in how many bits they are kept.
    """

    def __init__(self, schedule: BroadcastSchedule) -> None:
        self._schedule = schedule
        self._outputs: dict[Site, torch.Tensor | Fp8Rows] = {}
        self._bytes = 0
        self.peak_bytes = 0

    @property
    def bytes(self) -> int:
        """What it holds now, in bytes."""
        return self._bytes

    def output(
        self, kind: Kind, layer: int, step: int, compute: Callable[[], torch.Tensor], name: str = ""
    ) -> torch.Tensor:
        """The output of a site at `step`: computed, and stored if it will be read, or broadcast.

        A broadcast does not call `compute`, so nothing that only `compute` needs is done: no norm, no
        projection, no collective.
        """
        site = (kind, layer, name)
        if self._schedule.computes(kind, step, layer):
            output = compute()
            if self._schedule.stores(kind, step, layer):
                self._store(site, output)
            return output
        kept = self._free(site) if self._schedule.frees(kind, step, layer) else self._outputs[site]
        return kept.restore() if isinstance(kept, Fp8Rows) else kept

    def _store(self, site: Site, output: torch.Tensor) -> None:
        kept = Fp8Rows.of(output) if self._schedule.cache_dtype == "fp8" else output
        self._outputs[site] = kept
        self._bytes += kept.nbytes
        self.peak_bytes = max(self.peak_bytes, self._bytes)

    def _free(self, site: Site) -> torch.Tensor | Fp8Rows:
        kept = self._outputs.pop(site)
        self._bytes -= kept.nbytes
        return kept
