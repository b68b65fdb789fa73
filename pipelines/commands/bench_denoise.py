"""`pabcast bench denoise`."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from actors.engine.denoise_variants import VARIANTS
from cluster.errors import ConfigError, StoreError
from cluster.pab import PabConfig
from pipelines.bench_denoise import DenoiseJob, Passes
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.commands.video import FramesOption, OneVideo, SizeOption, StepsOption, one_video
from pipelines.config import Device, Dtype
from pipelines.given_paths import check_picture, check_writable
from pipelines.models import known_model
from pipelines.strict import convert, nearest


def denoise(
    model: Annotated[str, typer.Option("--model", help="A model's id in configs/models.")] = "demo",
    size: SizeOption = None,
    frames: FramesOption = None,
    steps: StepsOption = None,
    pab: Annotated[
        str | None, typer.Option("--pab", help="As of generate; by default the one that the model's entry names.")
    ] = None,
    variants: Annotated[
        str | None,
        typer.Option("--variants", metavar="NAME,NAME", help=f"Of {', '.join(VARIANTS)}; by default all there are."),
    ] = None,
    guidance_passes: Annotated[
        str, typer.Option("--guidance-passes", metavar="batched|two_pass", help="How ours runs guidance.")
    ] = "batched",
    rounds: Annotated[int, typer.Option("--rounds", help="How often each variant runs; medians count.")] = 3,
    layers: Annotated[int | None, typer.Option("--layers", help="Fewer layers than the model has, to try.")] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to run.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", metavar="auto|float32|bfloat16", help="In what.")] = "auto",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.json", help="Keep what --json prints.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the seconds.")] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Time the denoising loop of a model at its true size, with random weights: ours and diffusers', in turns.

    A ratio is the seconds of diffusers-off (of off, where diffusers has no such model) over the variant's: how many
    times as fast it is. diffusers' PAB broadcasts attention alone, ours also the MLPs that --pab names. The compiled
    variants are among the default ones on a GPU only. Nothing is encoded or decoded.

    Example: pabcast bench denoise --model latte-1 --size 64x64 --steps 4 --layers 1 --rounds 1
    """
    fields: dict[str, object] = {"num_frames": frames, "steps": steps}
    if rounds < 1:
        raise ConfigError(f"--rounds is {rounds}; it must be 1 or more")
    video = _video(model, size, pab, layers, fields)
    job = DenoiseJob(
        model=video.model,
        card=video.card,
        request=video.request,
        variants=_read_variants(variants),
        passes=convert(guidance_passes, Passes, "--guidance-passes"),
        rounds=rounds,
        device=convert(device, Device, "--device"),
        dtype=convert(dtype, Dtype, "--dtype"),
    )
    if out is not None:
        check_writable(out, "--out")
    if plot is not None:
        check_picture(plot, "--plot")
    # torch and diffusers take seconds to import: only once the flags are known to be good.
    from pipelines.bench_denoise_run import measure_denoising

    said = measure_denoising(job, partial(tell, as_json=as_json))
    tell(_spell(said), as_json=as_json)
    _keep(said, out, plot, as_json=as_json)
    if as_json:
        print_json(said)


def _video(model: str, size: str | None, pab: str | None, layers: int | None, fields: dict[str, object]) -> OneVideo:
    """The video, of a model with as many `layers`; what `pab` says of those that are left out is left out."""
    chosen = pab or known_model(model).pab or "off"
    video = one_video(
        prompt="-", model=model, size=size, pab=chosen, gang=1, fields=fields, guidance="batched", needs_files=False
    )
    if layers is None:
        return video
    numbers = video.card.numbers
    if not 1 <= layers <= numbers.num_layers:
        raise ConfigError(f"--layers is {layers}; the model has {numbers.num_layers}, so it must be 1 to that")
    card = replace(video.card, numbers=replace(numbers, num_layers=layers))
    return replace(video, card=card, request=replace(video.request, pab=_cut(video.request.pab, layers)))


def _cut(pab: PabConfig, layers: int) -> PabConfig:
    if pab.mlp is None:
        return pab
    return replace(pab, mlp=replace(pab.mlp, blocks=tuple(block for block in pab.mlp.blocks if block < layers)))


def _read_variants(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for name in names:
        if name not in VARIANTS:
            near = nearest(name, list(VARIANTS))
            raise ConfigError(f"--variants has {name!r}; {', '.join(VARIANTS)} are there, and {near} is the nearest")
    return names


def _spell(said: list[dict[str, Any]]) -> str:
    to = said[0]["ratio_to"]
    lines = [
        f"| variant | seconds | times as fast as {to or '-'} | peak, GiB | TFLOP | of the matrix product's rate "
        "| warm-up, s | graphs | run over its steps alone |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in said:
        cells = [
            row["variant"],
            f"{row['seconds']:.3f}",
            _or_dash(row["ratio"], ".2f"),
            _or_dash(row["peak_gib"], ".1f"),
            f"{row['flops'] / 1e12:.4g}",
            f"{row['matmul_share']:.1%}",
            f"{row['warmup_seconds']:.2f}",
            _or_dash(row["graphs"], "d"),
            _or_dash(row["overhead"], ".3f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _or_dash(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)


def _keep(said: list[dict[str, Any]], out: Path | None, plot: Path | None, *, as_json: bool) -> None:
    if out is not None:
        try:
            out.write_text(json.dumps(said, indent=1) + "\n")
        except OSError as error:
            raise StoreError(f"--out {out} cannot be written: {error.strerror or error}") from error
        tell(f"kept in {out}", as_json=as_json)
    if plot is not None:
        from pipelines.denoise_picture import Bar, draw_seconds

        first = said[0]
        title = f"{first['model']}, {first['shape']}, {first['steps']} steps, {first['dtype']} on {first['device']}"
        bars = [Bar(name=row["variant"], seconds=row["seconds"], ratio=row["ratio"]) for row in said]
        draw_seconds(bars, f"times as fast as {first['ratio_to']}", title, plot)
        tell(f"drawn to {plot}", as_json=as_json)
