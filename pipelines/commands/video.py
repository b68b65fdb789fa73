"""One video as flags describe it, for the commands that speak of one: checked, with its model's card."""

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from actors.engine import ModelCard, VideoRequest
from cluster.errors import ConfigError
from cluster.guidance import Guidance
from pipelines.models import KnownModel, find_model, known_model, read_card, read_whole_card
from pipelines.pab_text import check_blocks, read_pab
from pipelines.rows import BadRow, RowDefaults, read_row
from pipelines.sampling import Sampling, limit_problem
from pipelines.strict import build, convert
from pipelines.width_policy import model_numbers
from pipelines.widths import GangConfig

ModelOption = Annotated[str, typer.Option("--model", help="A known model's id or a model's folder.")]
SizeOption = Annotated[str | None, typer.Option("--size", metavar="WxH", help="Width x height in pixels, as 96x64.")]
FramesOption = Annotated[int | None, typer.Option("--frames", help="Number of frames.")]
StepsOption = Annotated[int | None, typer.Option("--steps", help="Denoising steps.")]
GuidanceOption = Annotated[float | None, typer.Option("--guidance", help="Guidance scale; 1 is none.")]
PabOption = Annotated[
    str,
    typer.Option(
        "--pab",
        help="off, a preset (pab235, pab246, pab357, pab579, or a model's own), a schedule file, "
        "or spatial=2,temporal=3,cross=6,timesteps=100:800 (or window=0.15:0.85).",
    ),
]
GangOption = Annotated[int, typer.Option("--gang", help="How many workers make the video together.")]
PassesOption = Annotated[
    str, typer.Option("--guidance-passes", metavar="split|batched|two_pass", help="How guidance runs.")
]


@dataclass(frozen=True, kw_only=True)
class OneVideo:
    """A checked request and the model that makes it."""

    model: KnownModel
    card: ModelCard
    request: VideoRequest


def one_video(
    *,
    prompt: str,
    model: str,
    size: str | None,
    pab: str,
    gang: int,
    fields: dict[str, object],
    guidance: Guidance,
    needs_files: bool = True,
) -> OneVideo:
    """Check what the flags ask for; `fields` are a row's columns, None where a flag was not given.

    Without `needs_files`, the numbers in its entry stand for a model whose files are not here.

    Raises:
        ConfigError: an unknown model, a size that it cannot make, a block that it lacks, a number out of range.
    """
    known = find_model(model) if needs_files else known_model(model)
    read = read_whole_card if needs_files else read_card
    card = read(known) if known.is_here else _card_without_files(known)
    config = read_pab(pab)
    check_blocks(config, card.numbers.num_layers)
    defaults = RowDefaults(
        sampling=build(Sampling, known.sampling, f"{known.id}.sampling"),
        model=known.id,
        model_revision=card.revision,
        pab=config,
        numbers=card.numbers,
        gang=GangConfig(width=gang),
        guidance=guidance,
    )
    for name, value in fields.items():
        # In a row NaN stands for nothing; on the command line it is a slip.
        if isinstance(value, float) and limit_problem(name, value):
            raise ConfigError(limit_problem(name, value))
    row = read_row({"prompt": prompt, **_edges(size), **fields}, "the command line", defaults)
    if isinstance(row, BadRow):
        raise ConfigError(row.reason)
    return OneVideo(model=known, card=card, request=row[0])


def _card_without_files(model: KnownModel) -> ModelCard:
    return ModelCard(path=str(model.folder), pipeline=model.family, revision="none", numbers=model_numbers(model))


def _edges(size: str | None) -> dict[str, object]:
    if size is None:
        return {}
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size.strip().lower())
    if match is None:
        raise ConfigError(f"--size is {size!r}; width x height in pixels is wanted, as 96x64")
    return {"width": int(match[1]), "height": int(match[2])}


def read_passes(text: str) -> Guidance:
    """`text` as the way guidance runs; `ConfigError` for another word."""
    passes: Guidance = convert(text, Guidance, "--guidance-passes")
    return passes
