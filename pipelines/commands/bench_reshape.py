"""`pabcast bench reshape`."""

import asyncio
import time
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import ConfigError
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.config import ClusterConfig
from pipelines.models import known_model, read_card
from pipelines.progress import Advance, counting
from pipelines.ray_session import ray_session

if TYPE_CHECKING:
    from actors.engine import VideoRequest
    from actors.pool_client import PoolClient

WORKERS = 4
SHAPES = ((2,), (4,), (2, 2), (1, 1, 1, 1))
"""Widths of the gangs that four workers form one after the other."""


def reshape(
    model: Annotated[str, typer.Option("--model", help="A known model's id or a model's folder.")] = "demo",
    rounds: Annotated[int, typer.Option("--rounds", help="How often the four shapes are gone through.")] = 5,
    steps: Annotated[int, typer.Option("--steps", help="Denoising steps of the videos in between.")] = 2,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where.")] = "cpu",
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Form gangs of 2, 4, 2+2 and 1+1+1+1 out of the same four workers, between videos, and compare with new workers.

    Example: pabcast bench reshape --rounds 5
    """
    for name, value in (("rounds", rounds), ("steps", steps)):
        if value < 1:
            raise ConfigError(f"--{name} is {value}; it must be 1 or more")
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device is {device!r}; auto, cpu or cuda is wanted")
    config = ClusterConfig(workers=WORKERS, device=device)  # type: ignore[arg-type]
    card = read_card(known_model(model))
    with ray_session(config), counting("rounds", rounds) as advance:
        from actors.engine import VideoRequest
        from actors.pool_client import PoolClient

        request = VideoRequest(
            prompt="a red circle moving left over a black background",
            height=64,
            width=64,
            num_frames=16,
            steps=steps,
            guidance_scale=4.0,
            model=model,
            model_revision=card.revision,
        )
        begun = time.monotonic()
        with PoolClient.connect(config.pool_spec(card.path), name="bench-reshape") as pool:
            pool.wait_ready(600)
            new_s = time.monotonic() - begun
            found = asyncio.run(_reshape(pool, request, rounds, advance))
    seconds = [took for times in found.values() for took in times]
    ratio = new_s / median(seconds)
    tell(_spell(found, new_s, ratio), as_json=as_json)
    if as_json:
        rows = {name: [round(took, 4) for took in times] for name, times in found.items()}
        print_json({"reshape_s": rows, "median_s": median(seconds), "new_workers_s": new_s, "ratio": ratio})


async def _reshape(
    pool: "PoolClient", request: "VideoRequest", rounds: int, advance: Advance
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {" + ".join(map(str, widths)): [] for widths in SHAPES}
    for _ in range(rounds):
        for widths, times in zip(SHAPES, found.values(), strict=True):
            made = await asyncio.gather(*(pool.submit(request, width=width) for width in widths))
            formed = [result.form_seconds for result in made]
            # Two of the gangs of 2 + 2 may be one that was there, or follow one another: the longest counts.
            times.append(max(formed))
        advance()
    return found


def _spell(found: dict[str, list[float]], new_s: float, ratio: float) -> str:
    lines = ["| gangs | median, s | longest, s |", "|---|---|---|"]
    lines += [f"| {name} | {median(times):.3f} | {max(times):.3f} |" for name, times in found.items()]
    lines.append(f"| four new workers that load the model | {new_s:.1f} | |")
    lines.append(f"new workers take {ratio:.0f} times as long as the median reshaping")
    return "\n".join(lines)
