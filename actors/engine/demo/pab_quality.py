"""What broadcasting costs the demo model in quality, and saves in time: each PAB against PAB off, same seeds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from actors.engine.demo.judge import Score, read_video, score
from actors.engine.demo.scenes import Scene, heldout_scenes
from actors.engine.engine import Engine, RankOutput
from actors.engine.request import VideoRequest
from cluster.pab import PabConfig


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the compared videos are made."""

    num_prompts: int = 64
    height: int = 64
    width: int = 64
    steps: int = 30
    guidance_scale: float = 4.0


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    """One PAB over all prompts."""

    name: str
    psnr_db: float
    """Mean over the videos of the PSNR against PAB off; infinite for off itself."""
    colour: float
    """Share of the videos whose dominant object has the colour asked for, read from the pixels."""
    direction: float
    """Share of the videos whose dominant object moves as asked for."""
    computed: tuple[int, int, int]
    """Steps that compute spatial, temporal and cross attention."""
    speedup: float
    """Denoising seconds of off over those of this PAB: the median over the prompts, in the same run."""


def measure(
    engine: Engine, pabs: Mapping[str, PabConfig], settings: Settings, on_video: Callable[[], None] = lambda: None
) -> list[QualityRow]:
    """Make every held-out prompt once with PAB off and once with each of `pabs`, in turn; one row each, off first."""
    scenes = heldout_scenes(settings.num_prompts)
    named = {"off": PabConfig(), **{name: pab for name, pab in pabs.items() if not pab.is_off}}
    outputs: dict[str, list[RankOutput]] = {name: [] for name in named}
    for index, scene in enumerate(scenes):
        for name, pab in named.items():
            outputs[name].append(engine.generate(_request(engine, scene, index, pab, settings)))
            on_video()
    return [_row(name, outputs[name], outputs["off"], scenes) for name in named]


def _request(engine: Engine, scene: Scene, seed: int, pab: PabConfig, settings: Settings) -> VideoRequest:
    return VideoRequest(
        prompt=scene.caption,
        seed=seed,
        height=settings.height,
        width=settings.width,
        num_frames=engine.card.numbers.num_frames,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        model=engine.card.path,
        model_revision=engine.card.revision,
        pab=pab,
    )


def _row(name: str, made: Sequence[RankOutput], off: Sequence[RankOutput], scenes: Sequence[Scene]) -> QualityRow:
    judged = _judge(made, scenes)
    computed = made[0].report.computed
    return QualityRow(
        name=name,
        psnr_db=math.fsum(_psnr_db(one, other) for one, other in zip(made, off, strict=True)) / len(made),
        colour=judged.colour,
        direction=judged.direction,
        computed=(computed["spatial"], computed["temporal"], computed["cross"]),
        speedup=median(
            one.report.denoise_seconds / other.report.denoise_seconds for one, other in zip(off, made, strict=True)
        ),
    )


def _judge(outputs: Sequence[RankOutput], scenes: Sequence[Scene]) -> Score:
    videos = [torch.from_numpy(output.frames).permute(0, 3, 1, 2) for output in outputs]
    return score([read_video(video) for video in videos], scenes)


def _psnr_db(one: RankOutput, other: RankOutput) -> float:
    error = float(((one.frames.astype(float) - other.frames.astype(float)) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf
