"""The sites of one layer at one step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from actors.engine.cache import BroadcastCache
from cluster.pab import Kind


@dataclass(frozen=True)
class LayerSites:
    """Where a layer with one site of each kind asks for an output."""

    cache: BroadcastCache
    layer: int
    step: int

    def __call__(self, kind: Kind, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The output of the layer's site of `kind`, computed or broadcast."""
        return self.cache.output(kind, self.layer, self.step, compute)
