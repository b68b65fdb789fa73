"""Measures a device with a model, and how well the fitted rates predict what was not measured."""

import platform
from collections.abc import Callable, Sequence
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
from actors.engine.stopwatch import Stopwatch
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
ROUNDS = 3
"""How often a check makes its videos."""


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


def calibrate(
    engine: Engine,
    shapes: Sequence[tuple[Shape, int]],
    gpu: GpuSpec,
    on_done: Callable[[int], None] = lambda count: None,
) -> Calibration:
    """Fit the rates of `engine`'s device over `shapes`, each with the width of the gang whose rank 0 is timed.

    The link of CPU workers is measured between two processes at the same shapes; that of a GPU, and a kind of
    attention that the model lacks, are as `gpu` says.
    """
    on_cpu = engine.device.type == "cpu"
    found = Stopwatch(engine).measure(list(shapes), on_done)
    assumed = assume(gpu, engine.dtype.itemsize)
    link = Link(latency_s=assumed.link_latency_s, bytes_per_s=assumed.link_bytes_per_s)
    if on_cpu:
        link = measure_link(engine, list(dict.fromkeys(shape for shape, _ in shapes)))
    fit = partial(fit_rate, overlapped=not on_cpu)
    return Calibration(
        device=_device_name(engine.device),
        dtype=str(engine.dtype).removeprefix("torch."),
        measured=True,
        **{kind: fit(found.kinds[kind]) if kind in found.kinds else getattr(assumed, kind) for kind in _ATTENTION},
        base=fit(found.base),
        text_s=found.text_s,
        decode=fit(found.decode),
        link_latency_s=link.latency_s,
        link_bytes_per_s=link.bytes_per_s,
        how=f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}; "
        + ", ".join(f"{shape} of {width}" for shape, width in shapes),
    )


def check(
    engine: Engine, calibration: Calibration, shape: Shape, width: int, pabs: Sequence[PabConfig], steps: int
) -> list[Check]:
    """Make a video of `shape` with each of `pabs` on a gang of `width` and compare.

    More than one worker are processes of this machine, on the CPU.
    """
    requests = [_request(engine.card, shape, pab, steps) for pab in pabs]
    if width == 1:
        measured = _denoise_seconds(engine, None, requests)
    else:
        measured = run_gang(engine, width, partial(_denoise_seconds, requests=requests))
    times = engine.model.sampler(steps, shape).timesteps.tolist()
    return [
        Check(
            shape=shape,
            width=width,
            pab=pab.text(),
            predicted_s=predict(_workload(engine, shape, pab, times), width, calibration).denoise_s,
            measured_s=seconds,
        )
        for pab, seconds in zip(pabs, measured, strict=True)
    ]


def _denoise_seconds(engine: Engine, group: dist.ProcessGroup | None, requests: Sequence[VideoRequest]) -> list[float]:
    """The median of three of each, taken in turns; every rank of `group` calls this."""
    rounds = [
        [engine.generate(request, group=group).report.denoise_seconds for request in requests] for _ in range(ROUNDS)
    ]
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


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
