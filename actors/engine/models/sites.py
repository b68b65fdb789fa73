"""The sites of one layer at one step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from actors.engine.cache import BroadcastCache
from cluster.pab import Kind


@dataclass(frozen=True)
class LayerSites:
    """Where a layer, or a block of it, asks for an output; there is one site of each kind."""

    cache: BroadcastCache
    layer: int
    step: int
    block: str = ""
    """Which block of the layer, where it has several."""

    def __call__(self, kind: Kind, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The output of the site of `kind`, computed or broadcast."""
        return self.cache.output(kind, self.layer, self.step, compute, self.block)
