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
from actors.engine.report import VideoReport
from actors.engine.request import RunOptions, VideoRequest
from actors.engine.sampler import denoise
from actors.engine.sampling_times import fresh_scheduler
from actors.engine.sequence import FrameParallel
from actors.engine.stop import StopSignal
from cluster.errors import ConfigError, OutOfMemory
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
        self._pipeline = pipeline
        self._denoiser = LatteDenoiser(pipeline.transformer)
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
        for part in (pipeline.transformer, pipeline.vae, pipeline.text_encoder):
            part.eval().requires_grad_(False)
        return cls(pipeline.to(device), card)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self._pipeline.transformer.device
        return device

    @torch.no_grad()
    def generate(
        self,
        request: VideoRequest,
        *,
        options: RunOptions | None = None,
        group: dist.ProcessGroup | None = None,
        stop: StopSignal | None = None,
        on_step: Callable[[int], None] = lambda step: None,
    ) -> RankOutput:
        """Make this rank's frames of a video; every rank of `group` calls it with the same request.

        Raises:
            RequestError: the model cannot make this, it does not fit, or it became NaN.
            Cancelled: `stop` ended it between two steps.
        """
        self.card.numbers.check(request.shape)
        try:
            return self._generate(request, options or RunOptions(), group, stop or StopSignal(), on_step)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise _out_of_memory(request, error) from error
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            raise _out_of_memory(request, error) from error

    def _generate(
        self,
        request: VideoRequest,
        options: RunOptions,
        group: dist.ProcessGroup | None,
        stop: StopSignal,
        on_step: Callable[[int], None],
    ) -> RankOutput:
        clock = _Clock(self.device)
        parallel = FrameParallel(request.num_frames, group)
        scheduler = fresh_scheduler(self._pipeline.scheduler, request.steps, self.device)
        schedule = BroadcastSchedule.build(request.pab, scheduler.timesteps.tolist())
        denoiser = self._guided(request, schedule, options)
        noise = self._noise(request, scheduler)[:, :, parallel.frames]
        text_seconds = clock.lap()
        latents = denoise(denoiser, scheduler, noise, parallel, stop, on_step)
        denoise_seconds = clock.lap()
        frames = decode_frames(self._pipeline.vae, latents[:, :, parallel.frames])
        decode_seconds = clock.lap()
        wanted = options.return_latents and parallel.rank == 0
        report = VideoReport(
            gang=parallel.width,
            rank=parallel.rank,
            steps=request.steps,
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
        text, negative_text = self._pipeline.encode_prompt(
            request.prompt,
            do_classifier_free_guidance=request.guidance_scale > 1,
            negative_prompt=request.negative_prompt,
            device=self.device,
        )
        return GuidedDenoiser.build(
            self._denoiser, text, negative_text, request.guidance_scale, schedule, options.guidance
        )

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
