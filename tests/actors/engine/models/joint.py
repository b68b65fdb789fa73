"""Small random models with joint 3-D attention, one way to run them, and real gangs that do.

12 heads divide over 2, 3 and 4 ranks, the tokens over none of them.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path

import torch
import torch.distributed as dist
from diffusers import CogVideoXTransformer3DModel, WanTransformer3DModel

from actors.engine import collectives
from actors.engine.cache import BroadcastCache
from actors.engine.models.cogvideox import CogVideoXDenoiser
from actors.engine.models.wan import WanDenoiser
from cluster.pab import MlpReuse, PabConfig
from cluster.schedule import BroadcastSchedule
from tests.actors.engine.models import gangs
from tests.actors.engine.models.gangs import Collectives, Run

TIMES = (999.0, 850.0, 700.0, 550.0, 400.0, 250.0, 100.0)
HEADS, LAYERS = 12, 2
TEXT = 16
PABS = {
    "off": PabConfig(),
    "pab": PabConfig(spatial=2, cross=3, timesteps=(150, 900)),
    "mlp": PabConfig(spatial=3, cross=2, window=(0.1, 0.9), mlp=MlpReuse(blocks=(1,), starts=(700,), steps=2)),
}


def cogvideox(*, rotary: bool) -> CogVideoXTransformer3DModel:
    """The positions of 5B if `rotary`, else of 2B. 45 video tokens: with the text 61."""
    torch.manual_seed(0)
    model = CogVideoXTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=32,
        text_embed_dim=24,
        num_layers=LAYERS,
        sample_height=6,
        sample_width=10,
        sample_frames=9,
        max_text_seq_length=TEXT,
        use_rotary_positional_embeddings=rotary,
    )
    return _randomized(model)


def wan() -> WanTransformer3DModel:
    """A small Wan 2.1."""
    torch.manual_seed(0)
    model = WanTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=24,
        freq_dim=32,
        ffn_dim=96,
        num_layers=LAYERS,
        rope_max_seq_len=32,
    )
    return _randomized(model)


def _randomized(model: torch.nn.Module) -> torch.nn.Module:
    """Norms and biases away from ones and zeros, so that none can be left out unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model.eval().requires_grad_(False)


DENOISERS: dict[str, Callable[[], CogVideoXDenoiser | WanDenoiser]] = {
    "cogvideox-2b": lambda: CogVideoXDenoiser(cogvideox(rotary=False)),
    "cogvideox-5b": lambda: CogVideoXDenoiser(cogvideox(rotary=True)),
    "wan": lambda: WanDenoiser(wan()),
}


def noise(name: str) -> torch.Tensor:
    """One video's latents, (1, C, T, h, w)."""
    size = (5, 10, 14) if name == "wan" else (3, 6, 10)
    return torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(1))


def texts() -> torch.Tensor:
    """Features of two prompts."""
    return torch.randn(2, TEXT, 24, generator=torch.Generator().manual_seed(2))


def schedule(pab: str) -> BroadcastSchedule:
    """The schedule of `PABS[pab]`."""
    return BroadcastSchedule.build(PABS[pab], TIMES)


def run(
    denoiser: CogVideoXDenoiser | WanDenoiser,
    latents_1CThw: torch.Tensor,
    pab: str,
    group: dist.ProcessGroup | None = None,
) -> Run:
    """A few guided steps of a flow, as the engine would run them."""
    cache, text_BLD = BroadcastCache(schedule(pab)), denoiser.project_text(texts())
    parallel = denoiser.share_out(latents_1CThw, text_BLD, collectives.Collectives(group))
    x_1nV, seen = parallel.share(latents_1CThw), [0]
    with Collectives() as calls:
        for step, time in enumerate(TIMES):
            pair = x_1nV.expand(2, -1, -1)
            timestep = torch.tensor(time)
            uncond, cond = denoiser(pair, timestep, text_BLD, step=step, cache=cache, parallel=parallel).split(1)
            x_1nV = x_1nV - 0.15 * (uncond + 4 * (cond - uncond))
            seen.append(calls.seen)
    latents = parallel.gather(x_1nV)
    assert cache.bytes == 0
    per_step = [after - before for before, after in pairwise(seen)]
    return Run(latents, parallel.collectives.all_to_all, parallel.collectives.all_gather, cache.peak_bytes, per_step)


def run_gangs(names: Sequence[str], widths: Sequence[int], folder: Path) -> dict[gangs.Case, Run]:
    """Run every model and schedule on gangs of every width."""
    return gangs.run_gangs(list(product(names, PABS, widths)), _run_named, folder)


def _run_named(name: str, pab: str, group: dist.ProcessGroup) -> Run:
    return run(DENOISERS[name](), noise(name), pab, group)
