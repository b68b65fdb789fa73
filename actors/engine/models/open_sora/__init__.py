"""Open-Sora 1.2 (github.com/hpcaitech/Open-Sora): what diffusers lacks of it, on diffusers' base classes."""

from actors.engine.models.open_sora.scheduler import OpenSoraFlowScheduler

__all__ = ["OpenSoraFlowScheduler"]
