"""What to broadcast: the ranges and the window of Pyramid Attention Broadcast (arXiv 2408.12588, sec. 3.3)."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from cluster.errors import ConfigError

Kind = Literal["spatial", "temporal", "cross", "mlp"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TIMESTEPS = 1000
"""What a timestep is at most: the noise alone."""
CacheDtype = Literal["auto", "fp8"]
"""`auto`: outputs are kept as they are. `fp8`: in 8 bits, each token's by a scale of its own."""


@dataclass(frozen=True, kw_only=True)
class MlpReuse:
    """Reuse of MLP outputs in some blocks: computed at the first step at or after each start, then reused."""

    blocks: tuple[int, ...]
    """Indices of the layers whose MLPs are reused."""
    starts: tuple[float, ...]
    """Timesteps at which a reuse starts (0..1000)."""
    steps: int
    """How many steps after a start reuse its output."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"pab.mlp.steps is {self.steps}; it must be 1 or more")
        if beyond := [start for start in self.starts if not 0 <= start <= TIMESTEPS]:
            raise ConfigError(f"pab.mlp.starts has {beyond[0]:g}; timesteps are from {TIMESTEPS} down to 0")
        if any(block < 0 for block in self.blocks):
            raise ConfigError(f"pab.mlp.blocks are {list(self.blocks)}; block indices start at 0")


@dataclass(frozen=True, kw_only=True)
class PabConfig:
    """Ranges per kind of attention and the window in which they hold.

    Range N computes one step and broadcasts its output to the next N - 1; range 1 is off.
    The window is given as timesteps (open interval, 0..1000) or as fractions of the run
    (``start <= step / num_steps < end``), not both; with neither it is the whole run.
    """

    spatial: int = 1
    temporal: int = 1
    cross: int = 1
    timesteps: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    mlp: MlpReuse | None = None
    cache_dtype: CacheDtype = "auto"
    """How what is broadcast is kept."""
    cache_budget_gb: float | None = None
    """The most that the broadcast cache may hold (GB = 1e9 bytes), of the whole video on all ranks together and at 2
    bytes an element (in fp8 1, and 4 a token), so that its content hangs neither on the gang's width nor on the
    model's precision: in float32 it holds twice as much. The kinds that save the most for a byte are broadcast, the
    others not. None: no limit."""

    def __post_init__(self) -> None:
        for kind in ("spatial", "temporal", "cross"):
            value = getattr(self, kind)
            if value < 1:
                raise ConfigError(f"pab.{kind} is {value}; a range is 1 (off) or more")
        if self.timesteps and self.window:
            raise ConfigError("pab has both timesteps and window; give one of them")
        if self.timesteps:
            self._check_timesteps(*self.timesteps)
        if self.window and not 0 <= self.window[0] < self.window[1] <= 1:
            start, end = self.window
            raise ConfigError(
                f"pab.window is {start:g}:{end:g}; it must satisfy 0 <= start < end <= 1, as in 0.15:0.85"
            )
        if self.cache_budget_gb is not None and not 0 < self.cache_budget_gb < math.inf:
            raise ConfigError(f"pab.cache_budget_gb is {self.cache_budget_gb:g}; it must be more than 0, or null")

    def _check_timesteps(self, low: float, high: float) -> None:
        if low >= high:
            raise ConfigError(f"pab.timesteps is {low:g}:{high:g}; the first must be smaller, as in 100:800")
        if low >= TIMESTEPS or high <= 0:
            raise ConfigError(
                f"pab.timesteps is {low:g}:{high:g}; timesteps are from {TIMESTEPS} down to 0, as in 100:800"
            )

    @property
    def is_off(self) -> bool:
        """Whether nothing is ever broadcast."""
        return not any(self.asks_for(kind) for kind in KINDS)

    def asks_for(self, kind: Kind) -> bool:
        """Whether `kind` is to be broadcast somewhere."""
        if kind == "mlp":
            return self.mlp is not None
        range_: int = getattr(self, kind)
        return range_ > 1

    def text(self) -> str:
        """One line that `pab` accepts again; equal configs have equal lines."""
        if self.is_off:
            return "off"
        parts = [f"spatial={self.spatial}", f"temporal={self.temporal}", f"cross={self.cross}"]
        if self.timesteps:
            parts.append(f"timesteps={_spell(self.timesteps[0])}:{_spell(self.timesteps[1])}")
        if self.window:
            parts.append(f"window={_spell(self.window[0])}:{_spell(self.window[1])}")
        if self.mlp:
            blocks = "+".join(str(block) for block in self.mlp.blocks)
            starts = "+".join(_spell(start) for start in self.mlp.starts)
            parts.append(f"mlp={blocks}@{starts}x{self.mlp.steps}")
        if self.cache_dtype != "auto":
            parts.append(f"cache_dtype={self.cache_dtype}")
        if self.cache_budget_gb is not None:
            parts.append(f"cache_budget_gb={_spell(self.cache_budget_gb)}")
        return ",".join(parts)


def _spell(number: float) -> str:
    """A number in as few digits as keep it; 100.0 is 100."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)
