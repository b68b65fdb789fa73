"""`pabcast generate`."""

import time
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actors.engine.request import RunOptions
from cluster.errors import ConfigError, StoreError
from cluster.guidance import Guidance
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, spell_seconds, tell
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
from pipelines.config import ClusterConfig, Device, Dtype
from pipelines.given_paths import check_writable
from pipelines.local_room import check_room
from pipelines.progress import counting
from pipelines.strict import convert
from pipelines.width_policy import Kindred

if TYPE_CHECKING:
    from actors.result import VideoResult


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the video shows.")],
    model: ModelOption = "demo",
    size: SizeOption = None,
    frames: FramesOption = None,
    fps: Annotated[int | None, typer.Option("--fps", help="Frames a second of the file.")] = None,
    steps: StepsOption = None,
    guidance: GuidanceOption = None,
    negative_prompt: Annotated[str, typer.Option("--negative-prompt", help="What it must not show.")] = "",
    seed: Annotated[int | None, typer.Option("--seed", help="Of the noise.")] = None,
    pab: PabOption = "off",
    gang: GangOption = 1,
    guidance_passes: PassesOption = "batched",
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to run.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", metavar="auto|float32|bfloat16", help="In what.")] = "auto",
    compile_blocks: Annotated[bool, typer.Option("--compile", help="Compile the model's blocks first.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.mp4", help="By default a new one in out/.")] = None,
    save_latents: Annotated[
        Path | None, typer.Option("--save-latents", metavar="FILE.safetensors", help="Keep the final latents.")
    ] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Make one video, on a local Ray with as many workers as the gang is wide.

    Example: pabcast generate "a red circle moving left over a black background" --size 64x64 --out red.mp4
    """
    fields: dict[str, object] = {
        "num_frames": frames,
        "fps": fps,
        "steps": steps,
        "guidance_scale": guidance,
        "negative_prompt": negative_prompt,
        "seed": seed,
    }
    passes = read_passes(guidance_passes)
    video = one_video(prompt=prompt, model=model, size=size, pab=pab, gang=gang, fields=fields, guidance=passes)
    cluster = ClusterConfig(
        workers=gang,
        device=convert(device, Device, "--device"),
        dtype=convert(dtype, Dtype, "--dtype"),
        compile=compile_blocks,
    )
    check_room(cluster, video.card.path, "--gang")
    file = _check_files(out, save_latents, Path("out") / f"{_slug(prompt)}-{video.request.seed}.mp4")
    for remark in _remarks(video):
        tell(remark, as_json=True)
    begun = time.monotonic()
    result = _make(video, cluster, gang, passes, keep_latents=save_latents is not None)
    file = _save(video, result, file, save_latents, may_replace=out is not None)
    report = result.report
    made = f"{file}: {video.request.shape}, {spell_seconds(report.seconds)} on a gang of {report.gang}"
    tell(f"{made}, {report.graphs} graphs compiled" if report.graphs else made, as_json=as_json)
    if as_json:
        print_json(_contract(video, result, file, time.monotonic() - begun))


def _remarks(video: OneVideo) -> Iterator[str]:
    from pipelines.remarks import remark_on_pab, remark_on_size

    request, numbers = video.request, video.card.numbers
    yield from remark_on_size(request.shape, numbers)
    yield from remark_on_pab(Kindred.of(request), video.model, numbers)


def _make(video: OneVideo, cluster: ClusterConfig, gang: int, passes: Guidance, *, keep_latents: bool) -> "VideoResult":
    from pipelines.ray_session import ray_session

    with ray_session(cluster):
        from actors.pool_client import PoolClient

        with PoolClient.connect(cluster.pool_spec(video.card.path)) as pool:
            pool.wait_ready(cluster.ready_limit_s)
            options = RunOptions(guidance=passes, return_latents=keep_latents)
            with counting("steps", video.request.steps) as show:
                return pool.submit_sync(video.request, width=gang, options=options, on_progress=show)


def _save(video: OneVideo, result: "VideoResult", file: Path, latents: Path | None, *, may_replace: bool) -> Path:
    from pipelines.video import encode_mp4

    mp4 = encode_mp4(result.frames, video.request.fps)
    try:
        if may_replace:
            file.write_bytes(mp4)
        else:
            file = _write_new(file, mp4)
        if latents is not None and result.latents is not None:
            from safetensors.numpy import save_file

            save_file({"latents": result.latents}, latents)
    except OSError as error:
        raise StoreError(f"{error.filename or file} cannot be written: {error.strerror or error}") from error
    return file


def _write_new(file: Path, data: bytes) -> Path:
    """Write to `file`, or where that is taken to name-2, name-3, …; the path that was free."""
    number, path = 1, file
    while True:
        try:
            stream = path.open("xb")
        except FileExistsError:
            number += 1
            path = file.with_stem(f"{file.stem}-{number}")
            continue
        with stream:
            stream.write(data)
        return path


def _contract(video: OneVideo, result: "VideoResult", file: Path, wall_seconds: float) -> dict[str, Any]:
    request, report = video.request, result.report
    return {
        "file": str(file),
        "sample_id": request.sample_id,
        "model": request.model,
        "model_revision": request.model_revision,
        "prompt": request.prompt,
        "seed": request.seed,
        "size": f"{request.width}x{request.height}",
        "num_frames": request.num_frames,
        "fps": request.fps,
        "guidance_scale": request.guidance_scale,
        "pab": request.pab.text(),
        "seconds": round(report.seconds, 4),
        "wall_seconds": round(wall_seconds, 4),
        "text_seconds": round(report.text_seconds, 4),
        "denoise_seconds": round(report.denoise_seconds, 4),
        "decode_seconds": round(report.decode_seconds, 4),
        "steps": report.steps,
        "gang": report.gang,
        "collectives": {name: asdict(getattr(report, name)) for name in ("all_to_all", "all_gather", "swaps")},
        "decode_sends": asdict(report.decode_sends),
        "computed": report.computed,
        "cache_bytes": report.cache_peak_bytes,
        "graphs": report.graphs,
    }


def _check_files(out: Path | None, latents: Path | None, default: Path) -> Path:
    """The video's file, once it is known that it and the latents can be written, each for itself."""
    file = out or default
    if file.suffix.lower() != ".mp4":
        raise ConfigError(f"--out is {file}; the video is an mp4 file, give it that suffix")
    check_writable(file, "--out")
    if latents is not None:
        check_writable(latents, "--save-latents")
        if latents.resolve() == file.resolve():
            raise ConfigError(f"--save-latents and the video are both {file}; give the latents a file of their own")
    return file


def _slug(prompt: str) -> str:
    """The prompt's letters, marks and digits of any script, as a file's name of at most 120 bytes."""
    letters = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in prompt.lower())
    return "-".join(letters.split()).encode()[:120].decode(errors="ignore").strip("-") or "video"
