"""Denoising at tiny sizes, a case for each family of models; the weights are random."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from actors.engine.denoise_bench import DenoiseCase
from actors.engine.random_models import random_model, sampler_of
from cluster.guidance import Guidance
from cluster.model import ModelNumbers
from cluster.pab import PabConfig
from cluster.sampler import SamplerNumbers
from cluster.shape import Shape
from cluster.vae import VaeNumbers
from tests.cluster.numbers import COGVIDEOX_5B, OPEN_SORA, WAN_1_3B

STEPS = 6
PAB = PabConfig(spatial=2, temporal=3, cross=4, timesteps=(50, 990))
LATTE = ModelNumbers(
    num_layers=2,
    hidden_size=32,
    num_heads=2,
    patch_size=2,
    latent_channels=4,
    text_tokens=7,
    text_width=24,
    vae=VaeNumbers(channels=(8, 8, 8, 8)),
    num_frames=4,
    min_edge=64,
    max_edge=2048,
    native_edge=64,
    max_prompt_bytes=4096,
)
_TINY: dict[str, Any] = {"num_layers": 2, "hidden_size": 32, "num_heads": 2, "text_tokens": 7, "text_width": 24}


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A family's numbers, sampler and shape."""

    family: str
    numbers: ModelNumbers
    sampler: SamplerNumbers
    shape: Shape

    def case(
        self, pab: PabConfig = PAB, guidance: Guidance = "batched", dtype: torch.dtype = torch.float32
    ) -> DenoiseCase:
        """Of a few steps."""
        sampler = sampler_of(self.sampler)
        model = random_model(self.family, self.numbers, self.shape, sampler, device="cpu", dtype=dtype)
        return DenoiseCase(model=model, steps=STEPS, pab=pab, guidance_scale=3.0, guidance=guidance)


TINY = {
    "latte": Tiny(
        family="latte",
        numbers=LATTE,
        sampler=SamplerNumbers(kind="ddim_leading"),
        shape=Shape(height=64, width=96, num_frames=4),
    ),
    "cogvideox": Tiny(
        family="cogvideox",
        numbers=replace(COGVIDEOX_5B, **_TINY, modulation_size=16),
        sampler=SamplerNumbers(kind="ddim_trailing"),
        shape=Shape(height=64, width=96, num_frames=9),
    ),
    "wan": Tiny(
        family="wan",
        numbers=replace(WAN_1_3B, **_TINY | {"hidden_size": 24}, mlp_size=48),
        sampler=SamplerNumbers(kind="unipc_flow", flow_shift=3.0),
        shape=Shape(height=64, width=96, num_frames=5),
    ),
    "open-sora": Tiny(
        family="open-sora",
        numbers=replace(OPEN_SORA, **_TINY),
        sampler=SamplerNumbers(kind="open_sora_flow"),
        shape=Shape(height=144, width=168, num_frames=17),
    ),
    "open-sora-plan": Tiny(
        family="open-sora-plan",
        numbers=replace(LATTE, vae=VaeNumbers(channels=(8, 8, 8, 8), frame_group=17, latent_group=5), num_frames=17),
        sampler=SamplerNumbers(kind="pndm"),
        shape=Shape(height=64, width=64, num_frames=17),
    ),
}
