"""Times the denoising loop of one model at one shape: ours, as written or compiled, and diffusers', in turns.

Shapes: L text tokens, K width of the text features, C latent channels, T latent frames, h and w latent height and
width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any, Literal

import torch

from actors.engine.blocks import Blocks
from actors.engine.device_time import timed
from actors.engine.diffusers_loop import DiffusersLoop
from actors.engine.families.family import Denoiser
from actors.engine.guidance import GuidedDenoiser
from actors.engine.random_models import RandomModel
from actors.engine.sampler import denoise
from actors.engine.sampling_times import fresh_scheduler
from actors.engine.step_patterns import StepPattern, count_graphs, first_step, step_patterns
from actors.engine.stop import StopSignal
from cluster.cache_budget import plan_schedule
from cluster.errors import OutOfMemory
from cluster.guidance import Guidance
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.workload import Workload

_GIB = 2**30
_STEP_REPEATS = 3
_DENOISING = ("spatial", "temporal", "cross", "projections", "mlp", "ends")


@dataclass(frozen=True, kw_only=True)
class DenoiseCase:
    """What is denoised, whatever the variant."""

    model: RandomModel
    steps: int
    pab: PabConfig
    guidance_scale: float
    branches: Literal[1, 2] = 2
    """Guidance branches."""
    guidance: Guidance = "batched"
    """How ours runs them; diffusers' pipelines each have their own way."""


@dataclass(frozen=True, kw_only=True)
class DenoiseRow:
    """What one variant took."""

    variant: str
    seconds: float
    """Of the denoising loop, the median of the rounds."""
    all_seconds: tuple[float, ...]
    warmup_seconds: float
    """Of the run before them, which is not counted; blocks are compiled in it, but those that an earlier variant
    has compiled."""
    peak_gib: float | None
    """The most that torch had allocated on the GPU, weights and all; none is known of a CPU."""
    flops: int
    """Operations of the model over the run, as its schedule has them."""
    graphs: int | None
    """Graphs that its blocks run as; none where nothing is compiled."""
    overhead: float | None
    """`seconds` over the sum of its steps' own times, each kind of step timed alone; none of diffusers."""


class DenoiseBench:
    """Runs the variants of one case over the same weights, noise and text features."""

    def __init__(self, case: DenoiseCase) -> None:
        self._case = case
        self._model = case.model
        self._noise_1CThw = case.model.noise()
        self._texts = case.model.texts(case.branches)
        self._theirs = DiffusersLoop(case.model, self._texts, case.guidance_scale)
        self._drivers: dict[bool, Denoiser] = {False: case.model.denoiser()}
        times = self._scheduler("cpu").timesteps.tolist()
        self._schedules = {
            "off": BroadcastSchedule.build(PabConfig(), times),
            "pab": plan_schedule(case.pab, times, case.model.numbers, case.model.shape, branches=case.branches),
            "diffusers-pab": BroadcastSchedule.build(
                replace(case.pab, mlp=None, cache_dtype="auto", cache_budget_gb=None), times
            ),
        }

    def schedule(self, variant: str) -> BroadcastSchedule:
        """What `variant` computes when; diffusers' PAB broadcasts no MLP."""
        return self._schedules.get(variant, self._schedules[variant.rpartition("-")[2]])

    def workload(self, variant: str) -> Workload:
        """The work of `variant`, as its numbers and its schedule have it."""
        return Workload(
            numbers=self._model.numbers,
            shape=self._model.shape,
            schedule=self.schedule(variant),
            branches=self._case.branches,
            guidance=self._case.guidance,
        )

    @torch.no_grad()
    def measure(
        self, variants: Sequence[str], rounds: int, on_done: Callable[[], None] = lambda: None
    ) -> list[DenoiseRow]:
        """Run each of `variants` once uncounted, then all of them in turns, `rounds` times, every other time backwards.

        `on_done` hears of each run that is over.

        Raises:
            OutOfMemory: a variant does not fit the device.
        """
        try:
            return self._measure(variants, rounds, on_done)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{self._model.shape} does not fit the device ({str(error).splitlines()[0]}); make --size or --frames "
                "smaller, or leave variants out with --variants"
            ) from error

    @torch.no_grad()
    def latents(self, variant: str) -> torch.Tensor:
        """What `variant` makes, (1, C, T, h, w)."""
        with self._ready(variant) as run:
            return run()

    def _measure(self, variants: Sequence[str], rounds: int, on_done: Callable[[], None]) -> list[DenoiseRow]:
        device = self._model.device
        warmups: dict[str, float] = {}
        for variant in variants:
            with self._ready(variant) as run:
                warmups[variant] = timed(run, device)
            on_done()
        seconds: dict[str, list[float]] = {variant: [] for variant in variants}
        peaks: dict[str, float] = dict.fromkeys(variants, 0.0)
        for turn in range(rounds):
            for variant in reversed(variants) if turn % 2 else variants:
                with self._ready(variant) as run:
                    _forget_peak(device)
                    seconds[variant].append(timed(run, device))
                    peaks[variant] = max(peaks[variant], _peak_gib(device))
                on_done()
        return [self._row(variant, warmups[variant], seconds[variant], peaks[variant]) for variant in variants]

    def _row(self, variant: str, warmup: float, seconds: list[float], peak_gib: float) -> DenoiseRow:
        ours, parts = not variant.startswith("diffusers"), self.workload(variant).flops()
        return DenoiseRow(
            variant=variant,
            seconds=median(seconds),
            all_seconds=tuple(seconds),
            warmup_seconds=warmup,
            peak_gib=peak_gib or None,
            flops=sum(parts[name] for name in _DENOISING),
            graphs=count_graphs(self.schedule(variant), self._model.numbers) if _is_compiled(variant) else None,
            overhead=median(seconds) / self._steps_seconds(variant) if ours else None,
        )

    def _steps_seconds(self, variant: str) -> float:
        """The sum over the run's steps of what a step like that takes alone."""
        schedule, numbers = self.schedule(variant), self._model.numbers
        patterns = step_patterns(schedule, numbers)
        return sum(count * self._step_seconds(variant, pattern) for pattern, count in patterns.items())

    def _step_seconds(self, variant: str, pattern: StepPattern) -> float:
        """The median of a few such steps after one that is not counted, each with a cache of its own.

        What the step reads is computed by blocks as they are written: no graph is made for it.
        """
        whole = self.schedule(variant)
        like = first_step(pattern, whole, self._model.numbers)
        timestep = self._scheduler(self._model.device).timesteps[like]
        seconds = []
        for _ in range(_STEP_REPEATS + 1):
            filling = self._guided(self._driver(compiled=False), pattern.alone(whole, like))
            stepping = filling.driven_by(self._driver(compiled=_is_compiled(variant)))
            parallel = filling.share_out(self._noise_1CThw)
            part = parallel.share(self._noise_1CThw)
            filling(part, timestep, 0, parallel)
            seconds.append(timed(partial(stepping, part, timestep, 1, parallel), self._model.device))
        return median(seconds[1:])

    @contextmanager
    def _ready(self, variant: str) -> Iterator[Callable[[], torch.Tensor]]:
        """The denoising loop of `variant`, all that comes before it done."""
        schedule = self.schedule(variant)
        if variant.startswith("diffusers"):
            scheduler, hooked = self._scheduler(self._model.device), variant == "diffusers-pab"
            with self._theirs.broadcasting(self._case.pab, schedule) if hooked else nullcontext():
                yield partial(self._theirs, scheduler, self._noise_1CThw)
            return
        guided = self._guided(self._driver(compiled=_is_compiled(variant)), schedule)
        parallel = guided.share_out(self._noise_1CThw)
        part = parallel.share(self._noise_1CThw)
        yield partial(denoise, guided, self._scheduler("cpu"), part, parallel, StopSignal(), lambda step: None)

    def _guided(self, denoiser: Denoiser, schedule: BroadcastSchedule) -> GuidedDenoiser:
        negative, text = self._texts if self._case.branches == 2 else (None, self._texts[0])
        return GuidedDenoiser.build(
            denoiser,
            text,
            negative,
            self._case.guidance_scale,
            schedule,
            self._case.guidance,
            in_float32=self._model.predicts_float32,
        )

    def _driver(self, *, compiled: bool) -> Denoiser:
        if compiled not in self._drivers:
            self._drivers[compiled] = self._model.denoiser(Blocks("inductor"))
        return self._drivers[compiled]

    def _scheduler(self, device: torch.device | str) -> Any:
        return fresh_scheduler(self._model.scheduler, self._case.steps, torch.device(device), self._model.shape)


def _is_compiled(variant: str) -> bool:
    return variant.startswith("compiled")


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / _GIB if device.type == "cuda" else 0.0
