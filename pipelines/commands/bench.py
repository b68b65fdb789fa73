"""`pabcast bench …`: measurements that print a ratio against the alternative in the same run."""

import math
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.errors import ConfigError
from pipelines.commands.bench_denoise import denoise
from pipelines.commands.bench_elastic import elastic
from pipelines.commands.bench_pool import pool
from pipelines.commands.bench_reshape import reshape
from pipelines.commands.bench_serve import serve
from pipelines.commands.calibrate import calibrate
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.models import find_model, read_card
from pipelines.pab_text import check_blocks, read_pab
from pipelines.progress import counting
from pipelines.sampling import limit_problem

if TYPE_CHECKING:
    from actors.engine.demo.pab_quality import QualityRow

bench = typer.Typer(no_args_is_help=True, help="Measure: every figure with its alternative, in one run.")

bench.command()(calibrate)
bench.command()(denoise)
bench.command()(elastic)
bench.command()(pool)
bench.command()(reshape)
bench.command()(serve)

PRESETS = ("pab246", "pab357", "pab579")


@bench.command()
def quality(
    model: Annotated[str, typer.Option("--model", help="A model trained on the demo model's scenes.")] = "demo",
    prompts: Annotated[int, typer.Option("--prompts", help="How many held-out prompts.")] = 64,
    steps: Annotated[int, typer.Option("--steps", help="Denoising steps.")] = 30,
    pab: Annotated[list[str] | None, typer.Option("--pab", help="A PAB to compare with off; may be repeated.")] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Compare videos made with PAB to those made without it, same prompts and seeds, on the demo model.

    PSNR is the mean over the videos; colour and direction are the shares of the videos whose largest object has
    the colour and the motion of its prompt, read from the pixels.

    Example: pabcast bench quality --prompts 64
    """
    if prompts < 1:
        raise ConfigError(f"--prompts is {prompts}; it must be 1 or more")
    if problem := limit_problem("steps", steps):
        raise ConfigError(f"--{problem}")
    pabs = {name: read_pab(name) for name in pab or PRESETS}
    card = read_card(find_model(model))
    for config in pabs.values():
        check_blocks(config, card.numbers.num_layers)
    # Read when tqdm is imported: diffusers' own bars would cross ours.
    os.environ.setdefault("TQDM_DISABLE", "1")
    from actors.engine import Engine
    from actors.engine.demo.pab_quality import Settings, measure

    engine = Engine.load(card.path)
    with counting("videos", prompts * (1 + len(pabs))) as advance:
        rows = measure(engine, pabs, Settings(num_prompts=prompts, steps=steps), advance)
    tell(_spell_rows(rows, steps), as_json=as_json)
    if as_json:
        print_json({"prompts": prompts, "steps": steps, "rows": [_plain(row) for row in rows]})


def _spell_rows(rows: "list[QualityRow]", steps: int) -> str:
    lines = [
        f"| PAB | PSNR, dB | colour | direction | of {steps} steps, spatial, temporal, cross compute in | speed-up |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        psnr = "-" if math.isinf(row.psnr_db) else f"{row.psnr_db:.1f}"
        computed = ", ".join(str(count) for count in row.computed)
        lines.append(
            f"| {row.name} | {psnr} | {row.colour:.1%} | {row.direction:.1%} | {computed} | {row.speedup:.2f}× |"
        )
    return "\n".join(lines)


def _plain(row: "QualityRow") -> dict[str, Any]:
    """JSON knows no infinity: PAB off has no PSNR against itself."""
    return {**asdict(row), "psnr_db": None if math.isinf(row.psnr_db) else row.psnr_db}
