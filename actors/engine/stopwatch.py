"""Times the engine's parts on the device it is on, as a calibration needs them."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median

import torch
import torch.distributed as dist

from actors.engine.collectives import Collectives
from actors.engine.engine import Engine
from actors.engine.guidance import GuidedDenoiser
from actors.engine.peers import Peers
from actors.engine.sequence import FrameParallel
from cluster.pab import KINDS, Kind, PabConfig
from cluster.rate import Timing
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from cluster.workload import SiteWork, Workload

_LEAST_SHARE = 0.005
"""Of a step without attention: what a kind takes at least, where noise hides it."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """What was measured: one attention site of each kind that the model has, a step without attention, decoding, and
    the text."""

    kinds: dict[Kind, list[Timing]]
    base: list[Timing]
    decode: list[Timing]
    text_s: float

    @staticmethod
    def median(rounds: "Sequence[Timings]") -> "Timings":
        """The median of each figure of `rounds`, which measured the same."""
        return Timings(
            kinds={kind: _middle([each.kinds[kind] for each in rounds]) for kind in rounds[0].kinds},
            base=_middle([each.base for each in rounds]),
            decode=_middle([each.decode for each in rounds]),
            text_s=median(each.text_s for each in rounds),
        )


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One all-to-all of a gang's step, in the mean of the step's."""

    seconds: float
    """What it adds to the step, whatever the reason."""
    bytes: float
    """What rank 0 hands to it."""


class Stopwatch:
    """Measures an engine whose gangs share out frames.

    A step's figure is the mean of `repeats` after a warm-up: a video is a sum of steps, of which on a shared machine
    few are the fastest and some are slow.
    """

    def __init__(self, engine: Engine, *, repeats: int = 3) -> None:
        self._engine = engine
        self._kinds = engine.card.numbers.kinds
        self._repeats = repeats

    def measure(self, shapes: Sequence[tuple[Shape, int]]) -> Timings:
        """Time steps and decoding of every (shape, gang width), each as rank 0 of such a gang has it.

        The step with all attention broadcast is timed, then with each kind alone computing: the differences are
        the kinds.
        """
        found = Timings(kinds={kind: [] for kind in self._kinds}, base=[], decode=[], text_s=self._text_seconds())
        for shape, width in shapes:
            work = self._workload(shape, frozenset())
            seconds = self._step_seconds(shape, width)
            without = seconds[frozenset()]
            mlps = work.numbers.sites.count("mlp") * work.numbers.num_layers
            found.base.append(Timing(work=work.ends(width) + work.site("mlp", width) * mlps, seconds=without))
            for kind in self._kinds:
                sites = work.numbers.sites.count(kind) * work.numbers.num_layers
                alone = max(seconds[frozenset({kind})] - without, _LEAST_SHARE * without)
                found.kinds[kind].append(Timing(work=work.site(kind, width), seconds=alone / sites))
            found.decode.append(self._decode(work, width))
        return found

    @torch.no_grad()
    def exchange(self, shape: Shape, group: dist.ProcessGroup) -> Exchange:
        """Time the exchanges of a step of `shape` in which everything computes; every rank of `group` calls this.

        A step of the gang and one without the exchanges take turns, all ranks computing in both; the mean
        difference is what the exchanges add; to pack and to join is each rank's own work, and in both.
        """
        gang, lone = (self._shared(shape, each) for each in (Collectives(group), Collectives.lone(group.size())))
        turns = [self._steps(shape, parallel, frozenset(self._kinds)) for parallel in (gang, lone)]
        for steps in turns:
            next(steps)()
        added = []
        for with_exchanges, without in zip(*turns, strict=True):
            taken: list[float] = []
            for step in (with_exchanges, without):
                dist.barrier(group)
                taken += self._timed(iter([step]))
            added.append(taken[0] - taken[1])
        calls = gang.collectives.all_to_all.calls / (len(added) + 1)
        return Exchange(
            seconds=fmean(added) / calls, bytes=gang.collectives.all_to_all.bytes / gang.collectives.all_to_all.calls
        )

    @torch.no_grad()
    def _step_seconds(self, shape: Shape, width: int) -> dict[frozenset[Kind], float]:
        """Seconds of a step in which no attention computes, and of those in which one kind does.

        They take turns, so that whatever else slows the device down slows all of them.
        """
        lone = self._shared(shape, Collectives.lone(width))
        alone: list[frozenset[Kind]] = [frozenset(), *(frozenset({kind}) for kind in self._kinds)]
        turns = {kinds: self._steps(shape, lone, kinds) for kinds in alone}
        for steps in turns.values():
            next(steps)()
            next(steps)()
        taken: dict[frozenset[Kind], list[float]] = {kinds: [] for kinds in turns}
        for _ in range(self._repeats):
            for kinds, steps in turns.items():
                taken[kinds] += self._timed(iter([next(steps)]))
        return {kinds: fmean(seconds) for kinds, seconds in taken.items()}

    def _shared(self, shape: Shape, collectives: Collectives) -> FrameParallel:
        numbers = self._engine.card.numbers
        return FrameParallel(numbers.latent_frames(shape), numbers.num_patches(shape), collectives)

    def _steps(
        self, shape: Shape, parallel: FrameParallel, computing: frozenset[Kind]
    ) -> Iterator[Callable[[], object]]:
        """Steps of one run, of which all but the first compute the attention of `computing` only."""
        work = self._workload(shape, computing)
        denoiser = self._denoiser(work)
        scale = work.numbers.vae.scale
        frames = parallel.frames.stop - parallel.frames.start
        latents = torch.randn(
            (1, work.numbers.latent_channels, frames, shape.height // scale, shape.width // scale),
            device=self._engine.device,
            dtype=self._engine.dtype,
        )
        timestep = torch.tensor(500, device=self._engine.device)
        for step in range(work.schedule.num_steps):
            yield partial(denoiser, latents, timestep, step, parallel)

    def _timed(self, calls: Iterator[Callable[[], object]]) -> Iterator[float]:
        for call in calls:
            self._wait()
            begun = time.perf_counter()
            call()
            self._wait()
            yield time.perf_counter() - begun

    def _wait(self) -> None:
        if self._engine.device.type == "cuda":
            torch.cuda.synchronize(self._engine.device)

    def _workload(self, shape: Shape, computing: frozenset[Kind]) -> Workload:
        """Its first step computes everything; in the others only `computing` computes."""
        rest = self._repeats + 1
        schedule = BroadcastSchedule.build(PabConfig(), range(rest + 1, 0, -1))
        table = {kind: (True, *[kind in computing or kind == "mlp"] * rest) for kind in KINDS}
        return Workload(
            numbers=self._engine.card.numbers,
            shape=shape,
            schedule=BroadcastSchedule(timesteps=schedule.timesteps, table=table),
            element_bytes=self._engine.dtype.itemsize,
        )

    def _denoiser(self, work: Workload) -> GuidedDenoiser:
        size = (1, work.numbers.text_tokens, work.numbers.text_width)
        texts = [torch.randn(size, device=self._engine.device, dtype=self._engine.dtype) for _ in range(2)]
        denoiser = self._engine.model.denoiser(work.shape, fps=8)
        return GuidedDenoiser.build(denoiser, texts[0], texts[1], 4.0, work.schedule, "batched")

    def _decode(self, work: Workload, width: int) -> Timing:
        numbers, shape = work.numbers, work.shape
        edges = (shape.height // numbers.vae_scale, shape.width // numbers.vae_scale)
        size = (1, numbers.latent_channels, work.decoded_frames(width), *edges)
        latents = torch.randn(size, device=self._engine.device, dtype=self._engine.dtype)
        with torch.no_grad():
            calls = iter([lambda: self._engine.model.decode(latents, Peers())] * 3)
            seconds = median(list(self._timed(calls))[1:])
        return Timing(work=SiteWork(projections=work.decode_flops(width)), seconds=seconds)

    def _text_seconds(self) -> float:
        calls = iter([lambda: self._engine.model.encode("a red circle moving left over a black background", "")] * 4)
        with torch.no_grad():
            return median(list(self._timed(calls))[1:])


def _middle(rounds: Sequence[Sequence[Timing]]) -> list[Timing]:
    return [
        Timing(work=same[0].work, seconds=median(timing.seconds for timing in same))
        for same in zip(*rounds, strict=True)
    ]
