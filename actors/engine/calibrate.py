"""Measures a device with a model, and how well the fitted rates predict what was not measured.

Both go in rounds that take turns: what a shared machine does to one minute, it does to both.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import diffusers
import torch
import torch.distributed as dist

from actors.engine.card import ModelCard
from actors.engine.engine import Engine
from actors.engine.link import Link, measure_link
from actors.engine.local_gang import run_gang
from actors.engine.request import VideoRequest
from actors.engine.stopwatch import Stopwatch, Timings
from cluster.calibration import Calibration, assume
from cluster.cost import predict
from cluster.gpu import GpuSpec
from cluster.pab import PabConfig
from cluster.rate import fit_rate
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from cluster.workload import Workload

PROMPT = "a red circle moving left over a black background"
_ATTENTION = ("spatial", "temporal", "cross")
TURNS = 2
"""How often a round of a trial makes its videos."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A video that was not measured: what was predicted for it, and what it took."""

    shape: Shape
    width: int
    """Of its gang."""
    pab: str
    predicted_s: float
    """Of the denoising."""
    measured_s: float

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted_s / self.measured_s


class Calibrator:
    """Measures an engine's device at `shapes`, each with the width of the gang whose rank 0 is timed.

    The link of CPU workers is measured between two processes at the same shapes; that of a GPU, and a kind of
    attention that the model lacks, are as `gpu` says. What is kept is the median of the rounds.
    """

    def __init__(self, engine: Engine, shapes: Sequence[tuple[Shape, int]], gpu: GpuSpec) -> None:
        self._engine = engine
        self._shapes = list(shapes)
        self._assumed = assume(gpu, engine.dtype.itemsize)
        self._on_cpu = engine.device.type == "cpu"
        self._rounds: list[Timings] = []
        self._links: list[Link] = []

    def measure(self) -> None:
        """Measure everything once more."""
        self._rounds.append(Stopwatch(self._engine).measure(self._shapes))
        if self._on_cpu:
            self._links.append(measure_link(self._engine, list(dict.fromkeys(shape for shape, _ in self._shapes))))

    def calibration(self) -> Calibration:
        """The rates that fit the rounds so far, of which there is one at least."""
        found, link, assumed = Timings.median(self._rounds), self._link(), self._assumed
        fit = partial(fit_rate, overlapped=not self._on_cpu)
        return Calibration(
            device=_device_name(self._engine.device),
            dtype=str(self._engine.dtype).removeprefix("torch."),
            measured=True,
            **{kind: fit(found.kinds[kind]) if kind in found.kinds else getattr(assumed, kind) for kind in _ATTENTION},
            base=fit(found.base),
            text_s=found.text_s,
            decode=fit(found.decode),
            link_latency_s=link.latency_s,
            link_bytes_per_s=link.bytes_per_s,
            how=f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}; "
            + ", ".join(f"{shape} of {width}" for shape, width in self._shapes),
        )

    def _link(self) -> Link:
        if not self._on_cpu:
            return Link(latency_s=self._assumed.link_latency_s, bytes_per_s=self._assumed.link_bytes_per_s)
        return Link(
            latency_s=median(link.latency_s for link in self._links),
            bytes_per_s=median(link.bytes_per_s for link in self._links),
        )


class Trial:
    """Videos of one shape on a gang of one width, with each of `pabs`, to see what a calibration predicts for them.

    More than one worker are processes of this machine, on the CPU.
    """

    def __init__(self, engine: Engine, shape: Shape, width: int, pabs: Sequence[PabConfig], steps: int) -> None:
        self._engine = engine
        self._shape = shape
        self._width = width
        self._requests = [_request(engine.card, shape, pab, steps) for pab in pabs]
        self._rounds: list[list[float]] = []

    def measure(self) -> None:
        """Make every video a few times more."""
        if self._width == 1:
            self._rounds += _denoise_seconds(self._engine, None, self._requests)
        else:
            self._rounds += run_gang(self._engine, self._width, partial(_denoise_seconds, requests=self._requests))

    def checks(self, calibration: Calibration) -> list[Check]:
        """What `calibration` predicts for each of the videos, and the median of what it took."""
        times = self._engine.model.sampler(self._requests[0].steps, self._shape).timesteps.tolist()
        works = [_workload(self._engine, self._shape, request.pab, times) for request in self._requests]
        return [
            Check(
                shape=self._shape,
                width=self._width,
                pab=request.pab.text(),
                predicted_s=predict(work, self._width, calibration).denoise_s,
                measured_s=median(seconds),
            )
            for request, work, seconds in zip(self._requests, works, zip(*self._rounds, strict=True), strict=True)
        ]


def _denoise_seconds(
    engine: Engine, group: dist.ProcessGroup | None, requests: Sequence[VideoRequest]
) -> list[list[float]]:
    """Seconds of each request, `TURNS` times one after the other; every rank of `group` calls this."""
    return [
        [engine.generate(request, group=group).report.denoise_seconds for request in requests] for _ in range(TURNS)
    ]


def _request(card: ModelCard, shape: Shape, pab: PabConfig, steps: int) -> VideoRequest:
    return VideoRequest(
        prompt=PROMPT,
        height=shape.height,
        width=shape.width,
        num_frames=shape.num_frames,
        steps=steps,
        guidance_scale=4.0,
        model=card.path,
        model_revision=card.revision,
        pab=pab,
    )


def _workload(engine: Engine, shape: Shape, pab: PabConfig, times: Sequence[float]) -> Workload:
    return Workload(
        numbers=engine.card.numbers,
        shape=shape,
        schedule=BroadcastSchedule.build(pab, times),
        element_bytes=engine.dtype.itemsize,
        prompt_tokens=len(PROMPT) + 1,
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
