"""`pabcast bench calibrate`."""

import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cluster.errors import ConfigError, RequestError
from cluster.model import ModelNumbers
from cluster.shape import Shape
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell
from pipelines.given_paths import check_writable
from pipelines.gpus import find_gpu, save_calibration
from pipelines.models import KnownModel, known_model
from pipelines.pab_text import read_pab
from pipelines.progress import counting
from pipelines.sampling import limit_problem
from pipelines.strict import convert
from pipelines.width_policy import model_numbers
from pipelines.widths import spell_widths

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.engine.calibrate import Check

MEASURED = "64x64/4,64x64/2,64x64,128x128/2"
CHECKED = "64x96,64x96/2"


def calibrate(
    model: Annotated[str, typer.Option("--model", help="A known model's id or a model's folder.")] = "demo",
    shapes: Annotated[
        str, typer.Option("--shapes", help="What to measure: WxH, or WxH/N for the share of a rank of a gang of N.")
    ] = MEASURED,
    checks: Annotated[
        str, typer.Option("--checks", help="What to predict and then measure: WxH, or WxH/N for a gang of N.")
    ] = CHECKED,
    steps: Annotated[int, typer.Option("--steps", help="Denoising steps of a check.")] = 12,
    rounds: Annotated[int, typer.Option("--rounds", help="How often all is measured; medians count.")] = 5,
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where to measure.")] = "cpu",
    dtype: Annotated[str, typer.Option("--dtype", metavar="float32|bfloat16", help="In what.")] = "float32",
    gpu: Annotated[str, typer.Option("--gpu", help="The entry of configs/gpus whose link it has.")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads of a worker.")] = 1,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Of a Latte without files.")] = False,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.json", help="Where to keep it.")] = Path(
        "out/calibration.json"
    ),
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Measure this device's steps at a few shapes, and check what they predict for others and for gangs.

    The model is of a family whose gangs share out frames: latte, open-sora or open-sora-plan.

    `calibration=FILE` makes `pabcast plan` and a job's `gang.width=auto` use the result.

    Example: pabcast bench calibrate --out out/calibration.json
    """
    known, spec = known_model(model), find_gpu(gpu)
    convert(device, Literal["cpu", "cuda"], "--device")
    convert(dtype, Literal["float32", "bfloat16"], "--dtype")
    for option, number, most in (("--rounds", rounds, 1000), ("--threads", threads, 1024)):
        if not 1 <= number <= most:
            raise ConfigError(f"{option} is {number}; it must be from 1 to {most}")
    if problem := limit_problem("steps", steps):
        raise ConfigError(f"--{problem}")
    numbers = _check_model(known, random_weights=random_weights)
    measured = _read_shapes("--shapes", shapes.split(","), numbers)
    checked = _read_shapes("--checks", filter(None, checks.split(",")), numbers)
    _check_processes(device, max((width for _, width in checked), default=1))
    check_writable(out, "--out")
    from actors.engine.calibrate import Calibrator, Trial

    engine = _engine(known, device, dtype, threads, random_weights=random_weights)
    calibrator = Calibrator(engine, measured, spec)
    pabs = [read_pab(pab, "--pab") for pab in ("off", "pab246")]
    trials = [Trial(engine, shape, width, pabs, steps) for shape, width in checked]
    parts: list[Calibrator | Trial] = [calibrator, *trials]
    with counting("measurements", rounds * len(parts)) as advance:
        for part in parts * rounds:
            part.measure()
            advance()
    found = calibrator.calibration()
    save_calibration(found, out)
    results = [result for trial in trials for result in trial.checks(found)]
    tell(f"{found.device}, {found.dtype}: kept in {out}", as_json=as_json)
    for result in results:
        tell(_spell(result), as_json=as_json)
    if as_json:
        print_json({"calibration": asdict(found), "checks": [_plain(result) for result in results]})


def _check_model(known: KnownModel, *, random_weights: bool) -> ModelNumbers:
    if random_weights and known.numbers is None:
        raise ConfigError(f"--random-weights needs numbers, and configs/models has none for {known.id}")
    if random_weights and known.family != "latte":
        raise ConfigError(f"--random-weights makes a latte only, and {known.id} is of the family {known.family}")
    numbers = model_numbers(known)
    if numbers.joint:
        raise ConfigError(
            f"the gangs of {known.id} share out tokens, and what is timed here is a share of frames; "
            "models of the families latte, open-sora and open-sora-plan can be calibrated"
        )
    return numbers


def _check_processes(device: str, width: int) -> None:
    if device == "cuda" and width > 1:
        raise ConfigError(
            f"--checks has a gang of {width} and --device is cuda; gangs are checked on the CPU only, "
            "so leave the /N out or use --device cpu"
        )


def _read_shapes(option: str, words: Iterable[str], numbers: ModelNumbers) -> list[tuple[Shape, int]]:
    """Shapes that the model makes, each with a width that its gangs may have."""
    found = [_read_shape(option, word, numbers.num_frames) for word in words]
    for shape, width in found:
        try:
            numbers.check(shape)
        except RequestError as error:
            raise ConfigError(f"{option}: {error}") from error
        legal = numbers.gang_widths(shape)
        if width not in legal:
            raise ConfigError(
                f"{option}: a gang of {width} cannot share {shape}; its legal widths are {spell_widths(legal)}"
            )
    return found


def _engine(known: KnownModel, device: str, dtype: str, threads: int, *, random_weights: bool) -> "Engine":
    import diffusers
    import torch
    import transformers

    from actors.engine import Engine

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device is cuda and torch sees no GPU; use --device cpu")
    torch.set_num_threads(threads)
    if not random_weights:
        return Engine.load(str(known.folder), device=device, dtype=dtype)
    assert known.numbers is not None
    return Engine.random(known.id, known.numbers, device=device, dtype=dtype)


def _read_shape(option: str, text: str, num_frames: int) -> tuple[Shape, int]:
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})(?:/([0-9]{1,3}))?", text.strip())
    if match is None:
        raise ConfigError(f"{option}: {text!r} is no shape; WxH or WxH/N is wanted, as 96x64 or 96x64/2")
    return Shape(height=int(match[2]), width=int(match[1]), num_frames=num_frames), int(match[3] or 1)


def _spell(result: "Check") -> str:
    return (
        f"{result.shape} on {result.width}, {result.pab}: denoising predicted {result.predicted_s:.3f} s, "
        f"took {result.measured_s:.3f} s, ratio {result.ratio:.3f}"
    )


def _plain(result: "Check") -> dict[str, Any]:
    return {
        "size": f"{result.shape.width}x{result.shape.height}",
        "num_frames": result.shape.num_frames,
        "width": result.width,
        "pab": result.pab,
        "predicted_s": result.predicted_s,
        "measured_s": result.measured_s,
        "ratio": result.ratio,
    }
