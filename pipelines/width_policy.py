"""The width of each video of a job: a number, by a table, or by predicted cost."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from actors.engine.request import VideoRequest
from cluster.cache_budget import plan_schedule
from cluster.calibration import Calibration, assume
from cluster.cost import predict
from cluster.errors import ConfigError, RequestError
from cluster.gpu import GpuSpec
from cluster.guidance import branches_of
from cluster.model import ModelNumbers
from cluster.pab import PabConfig
from cluster.shape import Shape
from cluster.width import Capacity, Goal, WidthDecision, check_memory, choose_width
from cluster.workload import Workload
from pipelines.config import VideoConfig
from pipelines.gpus import find_gpu, load_calibration
from pipelines.models import KnownModel, read_card


@dataclass(frozen=True, kw_only=True)
class Kindred:
    """Videos that cost the same."""

    shape: Shape
    steps: int
    branches: Literal[1, 2]
    pab: PabConfig

    @classmethod
    def of(cls, request: VideoRequest) -> "Kindred":
        """The group that `request` belongs to."""
        return cls(shape=request.shape, steps=request.steps, branches=request.branches, pab=request.pab)

    @classmethod
    def usual(cls, config: VideoConfig) -> "Kindred":
        """The group of what `config` asks for where nothing else is said."""
        sampling = config.sampling
        branches = branches_of(sampling.guidance_scale)
        return cls(shape=sampling.shape, steps=sampling.steps, branches=branches, pab=config.pab)


@dataclass
class WidthPolicy:
    """Decides widths for one job or endpoint; equal videos are decided once. It pickles."""

    config: VideoConfig
    gpu: GpuSpec
    calibration: Calibration
    workers: int
    numbers: ModelNumbers
    """Of the model."""
    _decided: dict[Kindred, tuple[Workload, WidthDecision] | str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: VideoConfig, numbers: ModelNumbers, workers: int) -> "WidthPolicy":
        """For `workers` of the GPU that the config names, or of the CPU; `numbers` are the model's."""
        gpu = find_gpu(config.gpu or "cpu")
        bytes_ = _element_bytes(config, gpu)
        calibration = load_calibration(config.calibration) if config.calibration else assume(gpu, bytes_)
        if config.gpu and config.calibration and not _is_of(calibration, gpu):
            raise ConfigError(
                f"calibration {config.calibration} is of {calibration.device} and gpu is {gpu.id}; "
                "leave one of them out, or measure on that GPU"
            )
        wanted = "float32" if bytes_ == 4 else "bfloat16"
        # Without a GPU or a dtype in the config, the workers' device decides.
        if calibration.dtype != wanted and (config.gpu or config.cluster.dtype != "auto"):
            raise ConfigError(
                f"calibration {config.calibration} is of {calibration.dtype}, and videos are made in {wanted}; "
                f"leave it out, or measure with --dtype {wanted}"
            )
        return cls(config=config, gpu=gpu, calibration=calibration, workers=workers, numbers=numbers)

    def warm_up(self) -> None:
        """Decide the config's own video, so that what takes seconds to import is there when the first one is asked for.

        That it cannot be made is no error: others may be.
        """
        with suppress(RequestError):
            self.decide(Kindred.usual(self.config))

    def offer(self, request: VideoRequest) -> tuple[int, Mapping[int, float]]:
        """The width for `request`, and predicted seconds at the widths that the pool may give it instead.

        Raises:
            RequestError: no gang can make it.
        """
        gang = self.config.gang
        if not gang.is_by_cost:
            guidance = self.config.options.guidance
            width = gang.width_for(request.shape, self.numbers, request.branches, guidance)
            return width, {}
        decision = self.decide(Kindred.of(request))[1]
        alone = {decision.width: decision.cost.seconds}
        return decision.width, decision.seconds if gang.widen else alone

    def decide(self, kindred: Kindred) -> tuple[Workload, WidthDecision]:
        """The work of such a video and its width; `RequestError` with the arithmetic if it fits nowhere."""
        if kindred not in self._decided:
            try:
                self._decided[kindred] = self._decide(kindred)
            except RequestError as error:
                self._decided[kindred] = str(error)
        found = self._decided[kindred]
        if isinstance(found, str):
            raise RequestError(found)
        return found

    def _decide(self, kindred: Kindred) -> tuple[Workload, WidthDecision]:
        model, gang = self.config.model, self.config.gang
        times, size = model_timesteps(model, kindred.steps, kindred.shape), _element_bytes(self.config, self.gpu)
        schedule = plan_schedule(kindred.pab, times, self.numbers, kindred.shape, branches=kindred.branches)
        work = Workload(
            numbers=self.numbers,
            shape=kindred.shape,
            schedule=schedule,
            branches=kindred.branches,
            guidance=self.config.options.guidance,
            element_bytes=size,
        )
        work.numbers.check(kindred.shape)
        capacity = Capacity(workers=self.workers, memory_bytes=self.gpu.memory_bytes)
        if gang.is_by_cost:
            return work, choose_width(work, capacity, self.calibration, Goal(latency_s=gang.latency_s))
        width = gang.width_for(kindred.shape, work.numbers, kindred.branches, work.guidance)
        check_memory(work, width, capacity)
        reason = "gang.table says so" if gang.width == "auto" else "gang.width says so"
        return work, WidthDecision(width=width, reason=reason, rejected={}, cost=predict(work, width, self.calibration))


def model_numbers(model: KnownModel) -> ModelNumbers:
    """From the model's files, or from its entry where they are not here."""
    if model.is_here:
        return read_card(model).numbers
    if model.numbers is None:
        raise ConfigError(f"model {model.id}: {model.folder} has no files, and its entry in configs/models no numbers")
    return model.numbers


def model_timesteps(model: KnownModel, steps: int, shape: Shape) -> tuple[float, ...]:
    """Likewise the timesteps of a run of `steps`."""
    if model.is_here:
        from actors.engine import timesteps

        return timesteps(model.folder, steps, shape)
    if model.sampler is None:
        raise ConfigError(f"model {model.id}: {model.folder} has no files, and its entry in configs/models no sampler")
    return model.sampler.timesteps(steps, shape)


def _is_of(calibration: Calibration, gpu: GpuSpec) -> bool:
    """By the device's name: NVIDIA H200, NVIDIA GeForce RTX 4090, x86_64 CPU."""
    return gpu.id.partition("-")[0] in calibration.device.lower().replace(" ", "")


def _element_bytes(config: VideoConfig, gpu: GpuSpec) -> Literal[2, 4]:
    dtype = config.cluster.dtype
    if dtype == "auto":
        return 4 if gpu.id == "cpu" else 2
    return 4 if dtype == "float32" else 2
