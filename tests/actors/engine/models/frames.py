"""Small random models that share out frames, and one way to run them, alone or in gangs.

5 latent frames divide over neither 2 ranks nor 3, and 35 patches over neither.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from diffusers import DDIMScheduler

from actors.engine.guidance import GuidedDenoiser
from actors.engine.models.latte import LatteDenoiser
from actors.engine.models.open_sora import OpenSoraDenoiser, OpenSoraFlowScheduler, OpenSoraTransformer3DModel
from actors.engine.models.open_sora_plan import OpenSoraPlanTransformer3DModel
from actors.engine.sampler import denoise
from actors.engine.stop import StopSignal
from cluster.forecast import Forecast, forecast
from cluster.model import LATTE_SITES, ModelNumbers
from cluster.pab import MlpReuse, PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from cluster.vae import VaeNumbers
from tests.actors.engine.models import gangs
from tests.actors.engine.models.gangs import Collectives, Run

HEADS, HIDDEN, LAYERS, TEXT, TEXT_WIDTH = 4, 32, 2, 7, 24
STEPS, FPS = 8, 24
SHAPE = Shape(height=80, width=112, num_frames=17)
PARTLY_FILLED = Shape(height=80, width=104, num_frames=17)
"""Its patches are as many, the last column's half empty."""
PABS = {
    "off": PabConfig(),
    "pab": PabConfig(spatial=2, temporal=3, cross=4, timesteps=(100, 800)),
    "mlp": PabConfig(spatial=2, temporal=2, cross=3, mlp=MlpReuse(blocks=(0,), starts=(600,), steps=2)),
}


@dataclass(frozen=True)
class Sample:
    """A model and what it makes a video of."""

    denoiser: Any
    scheduler: Any
    """Its timesteps are set."""
    text: torch.Tensor
    negative_text: torch.Tensor
    shape: Shape
    numbers: ModelNumbers

    @property
    def noise(self) -> torch.Tensor:
        """One video's latents, (1, C, T, h, w)."""
        size = (self.numbers.latent_frames(self.shape), self.shape.height // 8, self.shape.width // 8)
        return torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(1))

    def schedule(self, pab: str) -> BroadcastSchedule:
        """The schedule of `PABS[pab]`."""
        return BroadcastSchedule.build(PABS[pab], self.scheduler.timesteps.tolist())

    def forecast(self, pab: str, width: int) -> Forecast:
        """What is said beforehand of a guided run on a gang of `width`."""
        return forecast(self.numbers, self.shape, self.schedule(pab), width)


def open_sora_model() -> OpenSoraTransformer3DModel:
    """A small STDiT3."""
    torch.manual_seed(0)
    model = OpenSoraTransformer3DModel(
        hidden_size=HIDDEN, depth=LAYERS, num_heads=HEADS, caption_channels=TEXT_WIDTH, model_max_length=12
    )
    return _randomized(model)


def open_sora() -> Sample:
    """STDiT3 and its flow, with its own features of no text."""
    model, scheduler = open_sora_model(), OpenSoraFlowScheduler()
    size = {"height": PARTLY_FILLED.height, "width": PARTLY_FILLED.width}
    scheduler.set_timesteps(STEPS, num_frames=PARTLY_FILLED.num_frames, **size)
    return Sample(
        denoiser=OpenSoraDenoiser(model, fps=FPS, **size),
        scheduler=scheduler,
        text=_text(),
        negative_text=model.y_embedder.y_embedding[None, :TEXT],
        shape=PARTLY_FILLED,
        numbers=_numbers(("spatial", "cross", "mlp", "temporal", "cross", "mlp")),
    )


def open_sora_plan() -> Sample:
    """Open-Sora-Plan's transformer, driven as Latte's is, and a DDIM scheduler."""
    torch.manual_seed(0)
    model = OpenSoraPlanTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=HIDDEN // HEADS,
        num_layers=LAYERS,
        cross_attention_dim=HIDDEN,
        caption_channels=TEXT_WIDTH,
        sample_size=14,
        video_length=5,
    )
    scheduler = DDIMScheduler(beta_schedule="linear", clip_sample=False)
    scheduler.set_timesteps(STEPS)
    return Sample(
        denoiser=LatteDenoiser(_randomized(model)),
        scheduler=scheduler,
        text=_text(),
        negative_text=torch.zeros(1, TEXT, TEXT_WIDTH),
        shape=SHAPE,
        numbers=_numbers(LATTE_SITES),
    )


SAMPLES: dict[str, Callable[[], Sample]] = {"open-sora": open_sora, "open-sora-plan": open_sora_plan}


def run(name: str, pab: str, group: dist.ProcessGroup | None = None) -> Run:
    """A guided video of `SAMPLES[name]`, as the engine makes it."""
    sample, seen = SAMPLES[name](), [0]
    guided = GuidedDenoiser.build(
        sample.denoiser, sample.text, sample.negative_text, 4.0, sample.schedule(pab), "batched", group
    )
    parallel = guided.share_out(sample.noise)
    with Collectives() as calls:
        latents = denoise(
            guided,
            sample.scheduler,
            parallel.share(sample.noise),
            parallel,
            StopSignal(),
            on_step=lambda step: seen.append(calls.seen),
        )
    assert guided.cache_bytes == 0
    per_step = [after - before for before, after in pairwise(seen)]
    return Run(
        latents, parallel.collectives.all_to_all, parallel.collectives.all_gather, guided.cache_peak_bytes, per_step
    )


def run_gangs(names: Sequence[str], widths: Sequence[int], folder: Path) -> dict[gangs.Case, Run]:
    """Run every model and schedule on gangs of every width."""
    return gangs.run_gangs(list(product(names, PABS, widths)), run, folder)


def _randomized(model: torch.nn.Module) -> torch.nn.Module:
    """Norms, biases and gates away from ones and zeros, so that none can be left out unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval().requires_grad_(False)


def _text() -> torch.Tensor:
    return torch.randn(1, TEXT, TEXT_WIDTH, generator=torch.Generator().manual_seed(2))


def _numbers(sites: tuple[Any, ...]) -> ModelNumbers:
    return ModelNumbers(
        sites=sites,
        num_layers=LAYERS,
        hidden_size=HIDDEN,
        num_heads=HEADS,
        patch_size=2,
        latent_channels=4,
        vae=VaeNumbers(channels=(128, 256, 512, 512), frame_group=17, latent_group=5),
        num_frames=17,
        min_edge=8,
        max_edge=512,
        native_edge=512,
        pads_patches=True,
        max_prompt_bytes=100,
    )
