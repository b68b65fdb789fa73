"""`pabcast schedule`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.cache_budget import plan_schedule
from cluster.errors import ConfigError, RequestError
from cluster.forecast import Forecast, forecast
from cluster.schedule import BroadcastSchedule
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, spell_bytes, tell
from pipelines.commands.video import (
    FramesOption,
    GangOption,
    GuidanceOption,
    ModelOption,
    OneVideo,
    PabOption,
    PassesOption,
    SizeOption,
    StepsOption,
    one_video,
    read_passes,
)
from pipelines.given_paths import check_picture
from pipelines.schedule_table import spell_schedule
from pipelines.width_policy import model_timesteps


def schedule(
    model: ModelOption = "demo",
    size: SizeOption = None,
    frames: FramesOption = None,
    steps: StepsOption = None,
    guidance: GuidanceOption = None,
    pab: PabOption = "off",
    gang: GangOption = 1,
    guidance_passes: PassesOption = "batched",
    dtype: Annotated[str, typer.Option("--dtype", metavar="float32|bfloat16", help="What bytes count.")] = "float32",
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the table.")] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Show which steps compute which attention, and what the gang will send and keep.

    Example: pabcast schedule --pab pab246 --gang 2 --plot schedule.png
    """
    fields: dict[str, object] = {"num_frames": frames, "steps": steps, "guidance_scale": guidance}
    element_bytes, passes = _element_bytes(dtype), read_passes(guidance_passes)
    video = one_video(
        prompt="-", model=model, size=size, pab=pab, gang=gang, fields=fields, guidance=passes, needs_files=False
    )
    if plot is not None:
        check_picture(plot, "--plot")
    request = video.request
    try:
        times = model_timesteps(video.model, request.steps, request.shape)
    except RequestError as error:
        raise ConfigError(str(error)) from error
    numbers = video.card.numbers
    table = plan_schedule(request.pab, times, numbers, request.shape, branches=request.branches)
    predicted = forecast(
        numbers,
        request.shape,
        table,
        gang,
        branches=request.branches,
        guidance=passes,
        element_bytes=element_bytes,
    )
    title = f"{video.model.id}, {request.shape}, {request.steps} steps, {pab}, gang {gang}"
    tell(title + "\n" + spell_schedule(table, numbers.kinds), as_json=as_json)
    tell(f"{_spell_forecast(predicted)}, in {dtype}", as_json=as_json)
    if plot is not None:
        _draw(table, video, title, plot)
        tell(f"drawn to {plot}", as_json=as_json)
    if as_json:
        print_json(_contract(table, predicted, video, gang))


def _contract(table: BroadcastSchedule, predicted: Forecast, video: OneVideo, gang: int) -> dict[str, Any]:
    return {
        "model": video.model.id,
        "size": f"{video.request.width}x{video.request.height}",
        "num_frames": video.request.num_frames,
        "steps": table.num_steps,
        "gang": gang,
        "pab": video.request.pab.text(),
        "collectives": {name: asdict(getattr(predicted, name)) for name in ("all_to_all", "all_gather", "swaps")},
        "computed": table.computed,
        "cache_bytes": predicted.cache_bytes,
        "timesteps": list(table.timesteps),
        "table": {kind: list(row) for kind, row in table.table.items()},
    }


def _spell_forecast(predicted: Forecast) -> str:
    sent = [
        f"{name}: {count.calls} calls, {spell_bytes(count.bytes)}"
        for name, count in (
            ("all-to-all", predicted.all_to_all),
            ("all-gather", predicted.all_gather),
            ("guidance swaps", predicted.swaps),
        )
        if count.calls
    ]
    held = spell_bytes(predicted.cache_bytes)
    return f"rank 0 hands over {'; '.join(sent) or 'nothing'}; its cache holds {held} at most"


def _draw(table: BroadcastSchedule, video: OneVideo, title: str, plot: Path) -> None:
    from pipelines.schedule_picture import draw_schedule

    draw_schedule(table, video.card.numbers.kinds, title, plot)


def _element_bytes(dtype: str) -> int:
    sizes = {"float32": 4, "bfloat16": 2}
    if dtype not in sizes:
        raise ConfigError(f"--dtype is {dtype!r}; {' or '.join(sizes)} is wanted")
    return sizes[dtype]
