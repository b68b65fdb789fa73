"""Runs a benchmark of the denoising loop; it imports torch and diffusers."""

import platform
from collections.abc import Callable, Sequence
from typing import Any

import diffusers
import torch

from actors.engine.denoise_bench import DenoiseBench, DenoiseCase, DenoiseRow
from actors.engine.denoise_variants import baseline
from actors.engine.device_time import matmul_rate
from actors.engine.random_models import RandomModel, random_model, sampler_of
from actors.engine.sampling_times import load_scheduler
from cluster.errors import ConfigError
from pipelines.bench_denoise import DenoiseJob
from pipelines.progress import counting


def measure_denoising(job: DenoiseJob, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The contract of `pabcast bench denoise --json`: what each variant took; `say` hears what is measured.

    Raises:
        ConfigError: a GPU is wanted, and there is none.
        OutOfMemory: a variant does not fit the device.
    """
    device = _device(job)
    wide = job.dtype == "float32" or (job.dtype == "auto" and device.type == "cpu")
    model = _build(job, device, torch.float32 if wide else torch.bfloat16)
    where = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU",
        "dtype": str(model.dtype).removeprefix("torch."),
        "matmul_flops_per_s": matmul_rate(device, model.dtype),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }
    say(_spell_job(job, where))
    request, variants = job.request, job.chosen(device.type)
    case = DenoiseCase(
        model=model,
        steps=request.steps,
        pab=request.pab,
        guidance_scale=request.guidance_scale,
        branches=request.branches,
        guidance=job.passes,
    )
    with counting("runs", len(variants) * (1 + job.rounds)) as advance:
        rows = DenoiseBench(case).measure(variants, job.rounds, advance)
    return contract(job, rows, where)


def contract(job: DenoiseJob, rows: Sequence[DenoiseRow], where: dict[str, Any]) -> list[dict[str, Any]]:
    """An object a variant; `ratio` is the seconds of the variant `ratio_to` over its own."""
    to = baseline([row.variant for row in rows])
    whole = next((row.seconds for row in rows if row.variant == to), None)
    return [
        {
            "model": job.model.id,
            "shape": str(job.request.shape),
            "steps": job.request.steps,
            "variant": row.variant,
            "seconds": row.seconds,
            "ratio": None if whole is None else whole / row.seconds,
            "peak_gib": row.peak_gib,
            "ratio_to": to,
            "all_seconds": list(row.all_seconds),
            "warmup_seconds": row.warmup_seconds,
            "flops": row.flops,
            "matmul_share": row.flops / row.seconds / where["matmul_flops_per_s"],
            "graphs": row.graphs,
            "overhead": row.overhead,
            "layers": job.card.numbers.num_layers,
            "pab": job.request.pab.text(),
            "guidance_passes": job.passes,
            **where,
        }
        for row in rows
    ]


def _spell_job(job: DenoiseJob, where: dict[str, Any]) -> str:
    request = job.request
    return (
        f"{job.model.id}, {request.shape}, {request.steps} steps, pab {request.pab.text()}, "
        f"layers {job.card.numbers.num_layers}, {where['dtype']} on {where['device']}, where a matrix product does "
        f"{where['matmul_flops_per_s'] / 1e12:.3g} TFLOP/s"
    )


def _build(job: DenoiseJob, device: torch.device, dtype: torch.dtype) -> RandomModel:
    known, card = job.model, job.card
    sampler = sampler_of(known.sampler) if known.sampler else load_scheduler(known.folder, card.pipeline)
    return random_model(known.family, card.numbers, job.request.shape, sampler, device=str(device), dtype=dtype)


def _device(job: DenoiseJob) -> torch.device:
    there = torch.cuda.is_available()
    if job.device == "cuda" and not there:
        raise ConfigError("--device is cuda and torch sees no GPU; use --device cpu")
    if job.device == "auto":
        return torch.device("cuda" if there else "cpu")
    return torch.device(job.device)
