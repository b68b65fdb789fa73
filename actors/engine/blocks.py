"""A model's blocks, run as they are written or compiled."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from actors.engine.cache import BroadcastCache, Place
from cluster.pab import Kind

Outputs = dict[Kind, torch.Tensor]
MOST_GRAPHS = 64
"""Graphs that torch may hold of one function; it would run what is beyond as it is written."""


class Sites:
    """Where a block asks for the output of its site of a kind: it is broadcast, or computed and may be handed out."""

    def __init__(self, kept: Mapping[Kind, torch.Tensor], wanted: Collection[Kind]) -> None:
        """`kept` are the outputs that are broadcast; of the others, those of `wanted` go to `outputs`."""
        self._kept = dict(kept)
        self._wanted = wanted
        self.outputs: Outputs = {}

    def __call__(self, kind: Kind, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The output of the site of `kind`.

        A broadcast does not call `compute`, so nothing that only `compute` needs is done: no norm, no projection, no
        collective.
        """
        if kind in self._kept:
            return self._kept.pop(kind)
        output = compute()
        if kind in self._wanted:
            self.outputs[kind] = output
        return output


Block = Callable[..., torch.Tensor]
"""Takes `Sites`, then the block's module and tensors; returns the hidden states."""


class Blocks:
    """Runs the blocks of one model.

    What a block broadcasts comes in, and what a later step reads goes out. All that the schedule says is thus known
    before a block runs: compiled, it decides nothing, and all blocks of one kind that broadcast and hand out the same
    share one graph.
    """

    def __init__(self, backend: str | None = None) -> None:
        """Compile with torch's `backend` (inductor; eager only traces), or not at all."""
        self._run: Callable[..., tuple[torch.Tensor, Outputs]] = _run
        self._compiles = backend is not None
        self._patterns: set[object] = set()
        if backend is not None:
            torch._dynamo.config.recompile_limit = MOST_GRAPHS
            self._run = torch.compile(_run, fullgraph=True, dynamic=False, backend=backend)

    @property
    def graphs(self) -> int:
        """How many graphs there are by now: one for each kind of block, shape, and pattern of what comes in and out."""
        return len(self._patterns)

    def run(
        self, block: Block, cache: BroadcastCache, place: Place, *args: Any, exchanged: Kind | None = None
    ) -> torch.Tensor:
        """What `block` makes of `args` at `place`.

        `exchanged` is the kind of attention that asks other ranks, if any does; where that computes, the block is run
        as it is written, as what goes between the ranks is in no graph.
        """
        asks = exchanged is not None and cache.computes(place, exchanged)
        run = _run if asks else self._run
        kept, wanted = cache.read(place), cache.wanted(place)
        if self._compiles and not asks:
            shapes = tuple(arg.shape for arg in args if isinstance(arg, torch.Tensor))
            self._patterns.add((block, place.kinds, tuple(kept), wanted, shapes))
        x, outputs = run(block, kept, wanted, *args)
        cache.end(place, outputs)
        return x


def _run(
    block: Block, kept: Mapping[Kind, torch.Tensor], wanted: Collection[Kind], *args: Any
) -> tuple[torch.Tensor, Outputs]:
    site = Sites(kept, wanted)
    return block(site, *args), site.outputs
