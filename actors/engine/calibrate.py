"""Measures a device with a model, and how well the fitted rates predict what was not measured."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import diffusers
import torch

from actors.engine.engine import Engine
from actors.engine.link import Link, measure_link
from actors.engine.request import VideoRequest
from actors.engine.sampling_times import fresh_scheduler
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


@dataclass(frozen=True, kw_only=True)
class Check:
    """A shape that was not measured: what was predicted for it, and what it took."""

    shape: Shape
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

    The link of CPU workers is measured between two processes; that of a GPU is as `gpu` says.
    """
    found = Stopwatch(engine).measure(list(shapes), on_done)
    assumed = assume(gpu, engine.dtype.itemsize)
    link = Link(latency_s=assumed.link_latency_s, bytes_per_s=assumed.link_bytes_per_s)
    if engine.device.type == "cpu":
        link = measure_link()
    return Calibration(
        device=_device_name(engine.device),
        dtype=str(engine.dtype).removeprefix("torch."),
        measured=True,
        spatial=fit_rate(found.kinds["spatial"]),
        temporal=fit_rate(found.kinds["temporal"]),
        cross=fit_rate(found.kinds["cross"]),
        base=fit_rate(found.base),
        text_s=found.text_s,
        decode=fit_rate(found.decode),
        link_latency_s=link.latency_s,
        link_bytes_per_s=link.bytes_per_s,
        how=f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}; "
        + ", ".join(f"{shape} of {width}" for shape, width in shapes),
    )


def check(engine: Engine, calibration: Calibration, shape: Shape, pab: PabConfig, steps: int) -> Check:
    """Make a video of `shape` on one worker and compare."""
    request = VideoRequest(
        prompt=PROMPT,
        height=shape.height,
        width=shape.width,
        num_frames=shape.num_frames,
        steps=steps,
        guidance_scale=4.0,
        model=engine.card.path,
        model_revision=engine.card.revision,
        pab=pab,
    )
    times = fresh_scheduler(engine.scheduler, steps, torch.device("cpu")).timesteps.tolist()
    workload = Workload(
        numbers=engine.card.numbers,
        shape=shape,
        schedule=BroadcastSchedule.build(pab, times),
        element_bytes=engine.dtype.itemsize,
        prompt_tokens=len(PROMPT) + 1,
    )
    return Check(
        shape=shape,
        pab=pab.text(),
        predicted_s=predict(workload, 1, calibration).denoise_s,
        measured_s=min(engine.generate(request).report.denoise_seconds for _ in range(2)),
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
