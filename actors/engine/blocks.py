"""A model's blocks, run as they are written or compiled."""

import logging
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from actors.engine.cache import BroadcastCache, Kept, Place
from actors.engine.fp8 import Fp8Rows
from cluster.pab import Kind

log = logging.getLogger("pabcast.blocks")

Outputs = dict[Kind, Kept]
MOST_GRAPHS = 128
"""Graphs that one model's blocks may have; what would need more runs as it is written."""

_INDUCTOR_OPTIONS: dict[str, Any] = {
    # Look around among a kernel's settings for the fastest: norms of these models then run at the memory's rate.
    # What is found is kept with what is compiled; torch before 2.13 looks again in each process nevertheless.
    "coordinate_descent_tuning": True,
}


class Sites:
    """Where a block asks for the output of its site of a kind: it is broadcast, or computed and may be handed out."""

    def __init__(self, kept: Mapping[Kind, Kept], wanted: Collection[Kind], *, in_fp8: bool) -> None:
        """`kept` are the outputs that are broadcast; of the others, those of `wanted` go to `outputs`, maybe `in_fp8`.

        What is kept in 8 bits becomes and leaves so here, so that a graph does it on the way.
        """
        self._kept = dict(kept)
        self._wanted = wanted
        self._in_fp8 = in_fp8
        self.outputs: Outputs = {}

    def __call__(self, kind: Kind, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The output of the site of `kind`.

        A broadcast does not call `compute`, so nothing that only `compute` needs is done: no norm, no projection, no
        collective.
        """
        if kind in self._kept:
            kept = self._kept.pop(kind)
            return kept.restore() if isinstance(kept, Fp8Rows) else kept
        output = compute()
        if kind in self._wanted:
            self.outputs[kind] = Fp8Rows.of(output) if self._in_fp8 else output
        return output


Block = Callable[..., torch.Tensor]
"""Takes `Sites`, then the block's module and tensors; returns the hidden states."""


class Blocks:
    """Runs the blocks of one model.

    What a block broadcasts comes in, and what a later step reads goes out. All that the schedule says is thus known
    before a block runs: compiled, it decides nothing, and all blocks of one kind that broadcast and hand out the same
    share one graph.
    """

    def __init__(self, backend: str | None = None, *, most_graphs: int = MOST_GRAPHS) -> None:
        """Compile with torch's `backend` (inductor; eager only traces), or not at all."""
        self._compiled: Callable[..., tuple[torch.Tensor, Outputs]] | None = None
        self._most_graphs = most_graphs
        self._as_written = self._is_full = False
        self._thread = threading.local()
        self._patterns: set[object] = set()
        if backend is not None:
            options = _INDUCTOR_OPTIONS if backend == "inductor" else None
            self._compiled = torch.compile(_run, fullgraph=True, dynamic=False, backend=backend, options=options)

    @property
    def graphs(self) -> int:
        """How many graphs there are by now: one for each kind of block, shape, and pattern of what comes in and out.

        In gangs whose ranks' shares differ there may be fewer: where no rank is asked, torch needs no other graph.
        """
        return len(self._patterns)

    @contextmanager
    def as_written(self) -> Iterator[None]:
        """Meanwhile nothing is compiled, and no graph used."""
        self._as_written = True
        try:
            yield
        finally:
            self._as_written = False

    def run(self, block: Block, cache: BroadcastCache, place: Place, *args: Any) -> torch.Tensor:
        """What `block` makes of `args` at `place`."""
        kept, wanted = cache.read(place), cache.wanted(place)
        run: Callable[..., tuple[torch.Tensor, Outputs]] = _run
        if self._compiled is not None and not self._as_written:
            pattern = (block, place.kinds, tuple(kept), wanted, cache.keeps_fp8, *map(_granted, args))
            if self._has_graph(pattern):
                self._leave_bound_to_us()
                run = self._compiled
        x, outputs = run(block, kept, wanted, cache.keeps_fp8, *args)
        cache.end(place, outputs)
        return x

    def _has_graph(self, pattern: object) -> bool:
        """Whether a block of that pattern has a graph, or may be given one."""
        if pattern in self._patterns:
            return True
        if len(self._patterns) == self._most_graphs:
            if not self._is_full:
                log.warning("all %d graphs are taken; what needs another one runs as it is written", self._most_graphs)
            self._is_full = True
            return False
        self._patterns.add(pattern)
        return True

    def _leave_bound_to_us(self) -> None:
        """torch's own bound on graphs is of a thread, and a model may run in another one than it was loaded in."""
        if not getattr(self._thread, "is_ours", False):
            config = torch._dynamo.config
            config.recompile_limit = config.accumulated_recompile_limit = sys.maxsize
            self._thread.is_ours = True


def any_length(x: torch.Tensor, dim: int) -> torch.Tensor:
    """`x`, as an argument for blocks whose graphs serve it at whatever length it has along `dim`, be it 2 or more."""
    torch._dynamo.maybe_mark_dynamic(x, dim)
    return x


def _granted(arg: object) -> object:
    """What a graph takes for granted of an argument: a tensor's shape, -1 being any, or what it names itself."""
    if not isinstance(arg, torch.Tensor):
        return getattr(arg, "graph_key", None)
    free = getattr(arg, "_dynamo_weak_dynamic_indices", ())
    return tuple(-1 if dim in free and size > 1 else size for dim, size in enumerate(arg.shape))


def _run(
    block: Block, kept: Mapping[Kind, Kept], wanted: Collection[Kind], in_fp8: bool, *args: Any
) -> tuple[torch.Tensor, Outputs]:
    site = Sites(kept, wanted, in_fp8=in_fp8)
    return block(site, *args), site.outputs
