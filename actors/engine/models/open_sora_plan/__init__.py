"""Open-Sora-Plan 1.1 as diffusers models."""

from actors.engine.models.open_sora_plan.transformer import OpenSoraPlanTransformer3DModel

__all__ = ["OpenSoraPlanTransformer3DModel"]
