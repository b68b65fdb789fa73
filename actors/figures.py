"""What a finished video tells the pool's metrics, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of rank 0."""

    step_seconds: float = 0.0
    """Mean over its denoising steps."""
    bytes_sent: int = 0
    """Handed to the collectives, its own part included, and to single ranks."""
    cache_peak_bytes: int = 0
    """Of the broadcast cache."""
    bytes_saved: int = 0
    """That the steps which broadcast would have handed over, had they computed."""
    computed: Mapping[str, int] = field(default_factory=dict)
    """Steps that compute each kind of what the model has."""
    broadcast: Mapping[str, int] = field(default_factory=dict)
    """Steps that broadcast it."""
