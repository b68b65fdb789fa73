"""One resident model that makes videos, alone or as a rank of a gang."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from actors.engine.blocks import Blocks
from actors.engine.card import ModelCard, inspect_model
from actors.engine.families.family import Family
from actors.engine.families.latte import Latte
from actors.engine.families.load import load_family
from actors.engine.guidance import GuidedDenoiser
from actors.engine.parallel import SequenceParallel
from actors.engine.peers import Peers
from actors.engine.random_latte import random_latte
from actors.engine.report import VideoReport, bytes_saved
from actors.engine.request import RunOptions, VideoRequest
from actors.engine.sampler import denoise
from actors.engine.sampler_state import resume, take_part
from actors.engine.snapshot import Snapshot, SnapshotPart
from actors.engine.stop import StopSignal
from actors.engine.warm_up import Warmth, WarmUp
from cluster.cache_budget import plan_schedule
from cluster.errors import HandedOver, OutOfMemory
from cluster.model import ModelNumbers
from cluster.pab import KINDS
from cluster.schedule import BroadcastSchedule


@dataclass(frozen=True, kw_only=True)
class RankOutput:
    """What one rank made."""

    frames: npt.NDArray[np.uint8]
    """(frames of this rank, H, W, 3)."""
    first_frame: int
    latents: npt.NDArray[np.float32] | None
    """Final latents (1, C, T, h, w), on rank 0 when asked for."""
    report: VideoReport


class Engine:
    """A loaded model. Nothing of a request outlives `generate`, whatever ends it."""

    def __init__(self, model: Family, card: ModelCard) -> None:
        self.model = model
        self.card = card

    @classmethod
    def load(cls, path: str, *, device: str = "cpu", dtype: str = "float32", compiled: bool = False) -> "Engine":
        """Load the pipeline in the folder `path`, safetensors only; its blocks may be compiled as they first run.

        Raises:
            ConfigError: the folder holds no model that pabcast runs, or files that do not fit it.
        """
        card = inspect_model(path)
        return cls(load_family(card, device, getattr(torch, dtype), _blocks(compiled)), card)

    @classmethod
    def random(
        cls, name: str, numbers: ModelNumbers, *, device: str = "cpu", dtype: str = "float32", compiled: bool = False
    ) -> "Engine":
        """A model of the sizes in `numbers` with random weights, for measurements; `name` is what its card says."""
        pipeline = random_latte(numbers, device, getattr(torch, dtype))
        card = ModelCard(path=name, pipeline="LattePipeline", revision="random", numbers=numbers)
        return cls(Latte(pipeline, _blocks(compiled)), card)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The denoiser's precision."""
        return self.model.dtype

    def warm_up(self, request: VideoRequest, options: RunOptions, width: int = 1) -> Warmth:
        """Compile what requests like this one need in gangs of `width`; nothing where blocks run as they are written.

        Raises:
            RequestError: the model cannot make this, or it does not fit.
        """
        self.card.numbers.check(request.shape)
        with _memory_told(request):
            return WarmUp(self.model, self.card.numbers, request, options).run(width)

    @torch.no_grad()
    def generate(
        self,
        request: VideoRequest,
        *,
        options: RunOptions | None = None,
        group: dist.ProcessGroup | None = None,
        stop: StopSignal | None = None,
        on_step: Callable[[int], None] = lambda step: None,
        resume: Snapshot | None = None,
        on_snapshot: Callable[[SnapshotPart], None] = lambda part: None,
    ) -> RankOutput:
        """Make this rank's frames of a video; every rank of `group` calls it with the same request.

        With `resume`, go on from there, whatever gang took it. `on_snapshot` gets this rank's part of each snapshot
        that `options` ask for.

        Raises:
            RequestError: the model cannot make this, it does not fit, or it became NaN.
            Cancelled: `stop` ended it between two steps.
            HandedOver: `stop` ended it before a full step; `on_snapshot` got this rank's part of it.
        """
        self.card.numbers.check(request.shape)
        with _memory_told(request):
            run = _Run(options or RunOptions(), stop or StopSignal(), on_step, resume, on_snapshot)
            return self._generate(request, group, run)

    def _generate(self, request: VideoRequest, group: dist.ProcessGroup | None, run: "_Run") -> RankOutput:
        clock = _Clock(self.device)
        scheduler = self.model.sampler(request.steps, request.shape)
        schedule = plan_schedule(
            request.pab,
            scheduler.timesteps.tolist(),
            self.card.numbers,
            request.shape,
            branches=request.branches,
        )
        denoiser = self._guided(request, schedule, run.options, group)
        noise_1CThw = self._noise(request)
        parallel = denoiser.share_out(noise_1CThw)
        part = parallel.share(noise_1CThw)
        if run.resume is not None:
            part = resume(run.resume, scheduler, parallel, part)
        text_seconds = clock.lap()
        latents_1CThw = denoise(
            denoiser,
            scheduler,
            part,
            parallel,
            run.stop,
            run.on_step,
            run.snapshots(schedule, scheduler, parallel),
            run.first_step,
        )
        denoise_seconds = clock.lap()
        peers = Peers(group)
        frames, first_frame = self.model.decode(latents_1CThw, peers)
        decode_seconds = clock.lap()
        wanted = run.options.return_latents and peers.rank == 0
        numbers = self.card.numbers
        report = VideoReport(
            gang=peers.width,
            rank=peers.rank,
            steps=schedule.num_steps,
            first_step=run.first_step,
            seconds=clock.total,
            text_seconds=text_seconds,
            denoise_seconds=denoise_seconds,
            decode_seconds=decode_seconds,
            computed=schedule.computed,
            kinds=tuple(kind for kind in KINDS if kind in numbers.sites),
            all_to_all=parallel.collectives.all_to_all,
            all_gather=parallel.collectives.all_gather,
            swaps=parallel.collectives.swaps,
            decode_sends=peers.sent,
            bytes_saved=bytes_saved(
                parallel.collectives.all_to_all.bytes, schedule.table[numbers.shared_kind][run.first_step :]
            ),
            cache_peak_bytes=denoiser.cache_peak_bytes,
            graphs=self.model.blocks.graphs,
        )
        return RankOutput(
            frames=frames,
            first_frame=first_frame,
            latents=latents_1CThw.float().cpu().numpy() if wanted else None,
            report=report,
        )

    def _guided(
        self,
        request: VideoRequest,
        schedule: BroadcastSchedule,
        options: RunOptions,
        group: dist.ProcessGroup | None = None,
    ) -> GuidedDenoiser:
        guided, model = request.branches == 2, self.model
        text, negative_text = model.encode(request.prompt, request.negative_prompt if guided else None)
        return GuidedDenoiser.build(
            model.denoiser(request.shape, request.fps),
            text,
            negative_text,
            request.guidance_scale,
            schedule,
            options.guidance,
            group,
            in_float32=model.predicts_float32,
        )

    def _noise(self, request: VideoRequest) -> torch.Tensor:
        """The whole video's, (1, C, T, h, w)."""
        return self.model.noise(self.card.numbers.latent_size(request.shape), request.seed)


@dataclass(frozen=True)
class _Run:
    """How one request is run, and who hears of it."""

    options: RunOptions
    stop: StopSignal
    on_step: Callable[[int], None]
    resume: Snapshot | None
    on_snapshot: Callable[[SnapshotPart], None]

    @property
    def first_step(self) -> int:
        """The step that it begins with."""
        return 0 if self.resume is None else self.resume.step

    def snapshots(
        self, schedule: BroadcastSchedule, scheduler: Any, parallel: SequenceParallel
    ) -> Callable[[int, torch.Tensor], None]:
        """Called before each step with the rank's latents; hands on a part where they are a complete state."""
        apart = self.options.snapshot_every
        wanted = frozenset() if apart is None else frozenset(schedule.snapshot_steps(apart))
        full = frozenset(schedule.full_steps)

        def take(step: int, latents: torch.Tensor) -> None:
            if step <= self.first_step:
                return
            leaving = step in full and self.stop.hands_over(step)
            if leaving or step in wanted:
                self.on_snapshot(take_part(step, latents, scheduler, parallel))
            if leaving:
                raise HandedOver(f"left before step {step}, as asked")

        return take


class _Clock:
    """Wall time in seconds, the device's work waited for at each lap."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begun = self._last = time.perf_counter()

    def lap(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds

    @property
    def total(self) -> float:
        return self._last - self._begun


def _blocks(compiled: bool) -> Blocks:
    return Blocks("inductor" if compiled else None)


@contextmanager
def _memory_told(request: VideoRequest) -> Iterator[None]:
    """Of memory that is not there, say for what."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory(request, error) from error
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise _out_of_memory(request, error) from error


def _out_of_memory(request: VideoRequest, error: BaseException) -> OutOfMemory:
    tokens = request.height * request.width * request.num_frames
    return OutOfMemory(
        f"{request.shape} ({tokens:,} pixels) does not fit the worker's memory ({str(error).splitlines()[0]}); "
        "make it smaller or give it a wider gang"
    )
