"""`pabcast bench elastic`."""

import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.errors import ConfigError
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.commands.video import ModelOption, PabOption
from pipelines.given_paths import check_picture
from pipelines.local_room import check_room
from pipelines.progress import counting

if TYPE_CHECKING:
    from pipelines.bench_elastic import Comparison, Round, Variant
    from pipelines.bench_mix import Mix

SHAPES = "64x64,128x128,256x256"


def elastic(
    videos: Annotated[int, typer.Option("--videos", help="How many videos the job has.")] = 60,
    workers: Annotated[int, typer.Option("--workers", help="Resident workers.")] = 4,
    shapes: Annotated[str, typer.Option("--shapes", metavar="WxH,WxH", help="Sizes, which take turns.")] = SHAPES,
    steps: Annotated[int, typer.Option("--steps", help="Denoising steps.")] = 10,
    threads: Annotated[int, typer.Option("--threads", help="CPU threads of a worker.")] = 1,
    model: ModelOption = "demo",
    pab: PabOption = "off",
    rounds: Annotated[int, typer.Option("--rounds", help="How often each way makes the job; medians count.")] = 2,
    calibration: Annotated[
        str | None,
        typer.Option("--calibration", metavar="FILE.json", help="Rates; without it they are measured first."),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the gangs over time.")] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Make one mixed job by each fixed gang width, by auto without widening and by auto, on the same workers.

    All of them run guidance in the same way, `batched`, and take turns, every other time backwards. A ratio is how many
    times as long as auto a way takes: above 1, auto ends sooner.

    Example: pabcast bench elastic --rounds 3 --plot gangs.png
    """
    sizes = _read_sizes(shapes)
    if rounds < 1:
        raise ConfigError(f"--rounds is {rounds}; it must be 1 or more")
    if plot is not None:
        check_picture(plot, "--plot")
    # Ray takes seconds to import: only once the flags are known to be good.
    from pipelines.bench_elastic import Comparison, run_rounds, variants_of
    from pipelines.bench_mix import Mix

    cluster = {"workers": workers, "threads_per_worker": threads, "device": "cpu"}
    job = {"model": model, "pab": pab, "sampling": {"steps": steps}, "calibration": calibration, "cluster": cluster}
    mix = Mix.build(job, sizes, videos)
    check_room(mix.config.cluster, str(mix.config.model.folder), "--workers")
    variants = variants_of(mix, mix.policy.calibration if calibration else mix.measure())
    tell(_spell_mix(mix, variants[-1]), as_json=as_json)
    with counting("videos", videos * len(variants) * rounds) as advance:
        made = []
        for turn in run_rounds(mix, variants, rounds, advance):
            tell(f"gang.width={turn.variant}: {turn.seconds:.2f} s", as_json=as_json)
            made.append(turn)
    found = Comparison.of(made)
    tell(_spell(found), as_json=as_json)
    if plot is not None:
        _draw(mix, found, made, plot)
        tell(f"drawn to {plot}", as_json=as_json)
    if as_json:
        print_json(_contract(mix, variants[-1], found))


def _read_sizes(text: str) -> list[tuple[int, int]]:
    found = [re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", word.strip()) for word in text.split(",")]
    sizes = [(int(match[1]), int(match[2])) for match in found if match]
    if len(sizes) < len(found):
        raise ConfigError(f"--shapes is {text!r}; WxH,WxH is wanted, as {SHAPES}")
    return sizes


def _title(mix: "Mix") -> str:
    config = mix.config
    steps, pab, workers = config.sampling.steps, config.pab.text(), config.cluster.workers
    return f"{config.model.id}, {len(mix.requests)} videos of {steps} steps, pab {pab}, on {workers} workers"


def _spell_mix(mix: "Mix", auto: "Variant") -> str:
    counts = Counter(request.shape for request in mix.requests)
    lines = [f"{_title(mix)}; predicted seconds by width:"]
    for shape, seconds in mix.seconds(auto.policy).items():
        spelled = ", ".join(f"{width}: {taken:.2f}" for width, taken in seconds.items())
        lines.append(f"  {counts[shape]} of {shape}: {spelled}")
    return "\n".join(lines)


def _spell(found: "Comparison") -> str:
    lines = [
        "| gang.width | seconds | ratio to auto | workers busy | gangs formed | widened |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.seconds:.2f} | {one.ratio:.3f} | {one.busy_fraction:.1%} "
        f"| {one.formed:g} | {one.widened:g} |"
        for one in found.standings
    ]
    best = found.best_fixed
    lines.append(
        f"the best fixed width, {best.name}, takes {best.ratio:.3f} times as long as auto, and auto without widening "
        f"{found.staying.ratio:.3f} times; at width {best.name} workers that are never idle would take "
        f"{found.least_seconds:.2f} s"
    )
    return "\n".join(lines)


def _draw(mix: "Mix", found: "Comparison", made: "list[Round]", plot: Path) -> None:
    from pipelines.bench_elastic import median_round
    from pipelines.gang_picture import Panel, bars_of, draw_gangs

    panels = []
    for one in found.standings:
        turn = median_round(made, one.name)
        title = f"gang.width={one.name}: {turn.seconds:.1f} s, workers {turn.busy_fraction:.0%} busy"
        title += f", widened: {turn.widened}" if turn.widened else ""
        panels.append(Panel(title=title, seconds=turn.seconds, bars=bars_of(turn.spans, turn.looks)))
    draw_gangs(panels, mix.config.cluster.workers, _title(mix), plot)


def _contract(mix: "Mix", auto: "Variant", found: "Comparison") -> dict[str, Any]:
    config, rates = mix.config, auto.policy.calibration
    return {
        "model": config.model.id,
        "videos": len(mix.requests),
        "workers": config.cluster.workers,
        "threads": config.cluster.threads_per_worker,
        "steps": config.sampling.steps,
        "pab": config.pab.text(),
        "guidance": config.options.guidance,
        "rates": {"device": rates.device, "measured": rates.measured, "how": rates.how},
        "predicted_seconds": {
            f"{shape.width}x{shape.height}": {str(width): taken for width, taken in seconds.items()}
            for shape, seconds in mix.seconds(auto.policy).items()
        },
        "variants": [asdict(one) for one in found.standings],
        "best_fixed": found.best_fixed.name,
        "best_fixed_to_auto": found.best_fixed.ratio,
        "staying_to_auto": found.staying.ratio,
        "least_seconds": found.least_seconds,
    }
