"""One resident model that makes videos, alone or as a rank of a gang."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from diffusers import LattePipeline

from actors.engine.card import ModelCard, inspect_model
from actors.engine.decode import decode_frames
from actors.engine.guidance import GuidedDenoiser
from actors.engine.models.latte import LatteDenoiser
from actors.engine.random_latte import random_latte
from actors.engine.report import VideoReport
from actors.engine.request import RunOptions, VideoRequest
from actors.engine.sampler import denoise
from actors.engine.sampling_times import fresh_scheduler
from actors.engine.sequence import FrameParallel
from actors.engine.snapshot import Snapshot, SnapshotPart
from actors.engine.stop import StopSignal
from cluster.errors import ConfigError, HandedOver, OutOfMemory
from cluster.model import ModelNumbers
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

    def __init__(self, pipeline: LattePipeline, card: ModelCard) -> None:
        for part in (pipeline.transformer, pipeline.vae, pipeline.text_encoder):
            part.eval().requires_grad_(False)
        self._pipeline = pipeline
        self.denoiser = LatteDenoiser(pipeline.transformer)
        self.card = card

    @classmethod
    def load(cls, path: str, *, device: str = "cpu", dtype: str = "float32") -> "Engine":
        """Load the pipeline in the folder `path`, safetensors only.

        Raises:
            ConfigError: the folder holds no model that pabcast runs, or files that do not fit it.
        """
        card = inspect_model(path)
        try:
            pipeline = LattePipeline.from_pretrained(
                card.path, dtype=getattr(torch, dtype), use_safetensors=True, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"the model in {card.path} cannot be loaded: {error}") from error
        return cls(pipeline.to(device), card)

    @classmethod
    def random(cls, name: str, numbers: ModelNumbers, *, device: str = "cpu", dtype: str = "float32") -> "Engine":
        """A model of the sizes in `numbers` with random weights, for measurements; `name` is what its card says."""
        pipeline = random_latte(numbers, device, getattr(torch, dtype))
        return cls(pipeline, ModelCard(path=name, pipeline="LattePipeline", revision="random", numbers=numbers))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self._pipeline.transformer.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The denoiser's precision."""
        dtype: torch.dtype = self._pipeline.transformer.dtype
        return dtype

    @property
    def scheduler(self) -> Any:
        """The sampler; `fresh_scheduler` makes a copy for a run."""
        return self._pipeline.scheduler

    @property
    def vae(self) -> Any:
        """The decoder."""
        return self._pipeline.vae

    def encode(self, prompt: str, negative_prompt: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Text features of both prompts, each (1, L, K); none of the negative one without guidance (None)."""
        text, negative_text = self._pipeline.encode_prompt(
            prompt,
            do_classifier_free_guidance=negative_prompt is not None,
            negative_prompt=negative_prompt or "",
            device=self.device,
        )
        return text, negative_text

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
        try:
            run = _Run(options or RunOptions(), stop or StopSignal(), on_step, resume, on_snapshot)
            return self._generate(request, group, run)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise _out_of_memory(request, error) from error
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            raise _out_of_memory(request, error) from error

    def _generate(self, request: VideoRequest, group: dist.ProcessGroup | None, run: "_Run") -> RankOutput:
        clock = _Clock(self.device)
        parallel = FrameParallel(request.num_frames, group)
        scheduler = fresh_scheduler(self._pipeline.scheduler, request.steps, self.device)
        schedule = BroadcastSchedule.build(request.pab, scheduler.timesteps.tolist())
        denoiser = self._guided(request, schedule, run.options)
        latents = self._noise(request, scheduler) if run.resume is None else self._resumed(run.resume)
        text_seconds = clock.lap()
        latents = denoise(
            denoiser,
            scheduler,
            latents[:, :, parallel.frames],
            parallel,
            run.stop,
            run.on_step,
            run.snapshots(schedule, parallel),
            run.first_step,
        )
        denoise_seconds = clock.lap()
        frames = decode_frames(self._pipeline.vae, latents[:, :, parallel.frames])
        decode_seconds = clock.lap()
        wanted = run.options.return_latents and parallel.rank == 0
        report = VideoReport(
            gang=parallel.width,
            rank=parallel.rank,
            steps=request.steps,
            first_step=run.first_step,
            seconds=clock.total,
            text_seconds=text_seconds,
            denoise_seconds=denoise_seconds,
            decode_seconds=decode_seconds,
            computed=schedule.computed,
            all_to_all=parallel.all_to_all,
            all_gather=parallel.all_gather,
            cache_peak_bytes=denoiser.cache_peak_bytes,
        )
        return RankOutput(
            frames=frames,
            first_frame=parallel.frames.start,
            latents=latents.float().cpu().numpy() if wanted else None,
            report=report,
        )

    def _guided(self, request: VideoRequest, schedule: BroadcastSchedule, options: RunOptions) -> GuidedDenoiser:
        guided = request.guidance_scale > 1
        text, negative_text = self.encode(request.prompt, request.negative_prompt if guided else None)
        return GuidedDenoiser.build(
            self.denoiser, text, negative_text, request.guidance_scale, schedule, options.guidance
        )

    def _resumed(self, snapshot: Snapshot) -> torch.Tensor:
        """The whole video's latents as they were, (1, C, T, h, w)."""
        return torch.from_numpy(snapshot.latents).to(self.device, self.dtype)

    def _noise(self, request: VideoRequest, scheduler: Any) -> torch.Tensor:
        """The whole video's noise, (1, C, T, h, w), as diffusers draws it: on the CPU, in the model's precision."""
        numbers = self.card.numbers
        size = (request.height // numbers.vae_scale, request.width // numbers.vae_scale)
        noise = torch.randn(
            (1, numbers.latent_channels, request.num_frames, *size),
            generator=torch.Generator("cpu").manual_seed(request.seed),
            dtype=self._pipeline.transformer.dtype,
        )
        return noise.to(self.device) * scheduler.init_noise_sigma


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

    def snapshots(self, schedule: BroadcastSchedule, parallel: FrameParallel) -> Callable[[int, torch.Tensor], None]:
        """Called before each step with the rank's latents; hands on a part where they are a complete state."""
        apart = self.options.snapshot_every
        wanted = frozenset() if apart is None else frozenset(schedule.snapshot_steps(apart))
        full = frozenset(schedule.full_steps)

        def take(step: int, latents_1Cthw: torch.Tensor) -> None:
            if step <= self.first_step:
                return
            leaving = step in full and self.stop.hands_over(step)
            if leaving or step in wanted:
                latents = latents_1Cthw.float().cpu().numpy()
                self.on_snapshot(SnapshotPart(step=step, first_frame=parallel.frames.start, latents=latents))
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


def _out_of_memory(request: VideoRequest, error: BaseException) -> OutOfMemory:
    tokens = request.height * request.width * request.num_frames
    return OutOfMemory(
        f"{request.shape} ({tokens:,} pixels) does not fit the worker's memory ({str(error).splitlines()[0]}); "
        "make it smaller or give it a wider gang"
    )
