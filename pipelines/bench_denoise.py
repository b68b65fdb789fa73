"""What a benchmark of the denoising loop is asked for, checked without torch."""

from dataclasses import dataclass
from typing import Literal

from actors.engine import ModelCard, VideoRequest
from actors.engine.denoise_variants import VARIANTS, missing_variants
from cluster.errors import ConfigError
from pipelines.config import Device, Dtype
from pipelines.models import KnownModel

Passes = Literal["batched", "two_pass"]


@dataclass(frozen=True, kw_only=True)
class DenoiseJob:
    """One model at one shape, and the ways to denoise that are compared."""

    model: KnownModel
    card: ModelCard
    """With as many layers as are built."""
    request: VideoRequest
    variants: tuple[str, ...] | None
    """None for all that there are."""
    passes: Passes
    """How ours runs guidance."""
    rounds: int
    device: Device
    dtype: Dtype

    def __post_init__(self) -> None:
        known = self.model
        if known.sampler is None and not (known.is_here and self.card.pipeline == "LattePipeline"):
            raise ConfigError(f"model {known.id!r}: its entry in configs/models must have a sampler, and has none")
        missing = self.missing
        for name in self.variants or ():
            if name in missing:
                raise ConfigError(f"--variants has {name}, and {known.id} has no such variant: {missing[name]}")

    @property
    def missing(self) -> dict[str, str]:
        """The variants that there are not, and why."""
        return missing_variants(self.model.family, self.card.numbers, self.request.pab)

    def chosen(self, device: str) -> tuple[str, ...]:
        """The variants to run; unless they are named, the compiled ones on a GPU only: a CPU's compiler is slow."""
        if self.variants is not None:
            return self.variants
        there = [name for name in VARIANTS if name not in self.missing]
        return tuple(name for name in there if device == "cuda" or not name.startswith("compiled"))
