"""Open-Sora 1.2 (github.com/hpcaitech/Open-Sora): what diffusers lacks of it, on diffusers' base classes."""

from actors.engine.models.open_sora.denoiser import OpenSoraDenoiser
from actors.engine.models.open_sora.scheduler import OpenSoraFlowScheduler
from actors.engine.models.open_sora.transformer import OpenSoraTransformer3DModel
from actors.engine.models.open_sora.vae import AutoencoderKLOpenSora

__all__ = ["AutoencoderKLOpenSora", "OpenSoraDenoiser", "OpenSoraFlowScheduler", "OpenSoraTransformer3DModel"]
