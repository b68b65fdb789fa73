"""Open-Sora-Plan 1.1 as diffusers models: its transformer and its causal video VAE."""

from actors.engine.models.open_sora_plan.transformer import OpenSoraPlanTransformer3DModel
from actors.engine.models.open_sora_plan.vae import AutoencoderKLOpenSoraPlan

__all__ = ["AutoencoderKLOpenSoraPlan", "OpenSoraPlanTransformer3DModel"]
