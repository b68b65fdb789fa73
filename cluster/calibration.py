"""What a device really does with a model's work: fitted rates, or assumed ones until it has been measured."""

from dataclasses import dataclass

from cluster.errors import ConfigError
from cluster.forecast import CollectiveCount
from cluster.gpu import GpuSpec
from cluster.pab import Kind
from cluster.rate import MOST_S, Rate, check_between

ASSUMED_MATMUL = 0.55
"""Share of the peak that matrix products reach eagerly: 0.5 to 0.8 of it on an H200 (790 of 989 TFLOP/s at best)."""
ASSUMED_ATTENTION = 0.4
"""Share of the peak that fused attention reaches."""
ASSUMED_LINK = 0.7
"""Share of the link's peak that an all-to-all reaches."""
PASSES = 12
"""How often an element goes through memory around a site: norm, modulation, gate, residual, Q, K, V."""
LAUNCH_S = 80e-6
"""A site's dozen kernels at some 7 microseconds each."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Rates of one model family on one device, in one precision."""

    device: str
    """The device's own name, or the spec's."""
    dtype: str
    measured: bool
    """False where the rates are assumed shares of the vendor's figures."""
    spatial: Rate
    """One site of spatial attention."""
    temporal: Rate
    cross: Rate
    base: Rate
    """A step with all attention broadcast: MLPs, norms, gates, and the ends."""
    text_s: float
    """Encoding the prompts of a video."""
    decode: Rate
    """Decoding; `projections` are the decoder's operations."""
    link_latency_s: float
    """A collective before its first byte."""
    link_bytes_per_s: float
    """What a rank sends in a collective, a second."""
    how: str = ""
    """Versions and shapes of the measurement, for people."""

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise ConfigError(f"dtype is {self.dtype!r}; float32 or bfloat16 is wanted")
        for name in ("text_s", "link_latency_s"):
            check_between(name, getattr(self, name), 0, MOST_S)
        check_between("link_bytes_per_s", self.link_bytes_per_s, 1, 1e18)
        if self.base == Rate():
            raise ConfigError("base has no figure above 0, and every step takes time")

    def attention(self, kind: Kind) -> Rate:
        """The rate of one site of an attention `kind`."""
        rates: dict[Kind, Rate] = {"spatial": self.spatial, "temporal": self.temporal, "cross": self.cross}
        return rates[kind]

    def collective_seconds(self, count: CollectiveCount, ranks: int | None = None) -> float:
        """Time of collectives; of the bytes handed over to `ranks`, (P - 1) / P cross the link, and all if None."""
        crossing = count.bytes if ranks is None else count.bytes * (ranks - 1) / ranks
        return count.calls * self.link_latency_s + crossing / self.link_bytes_per_s


def assume(gpu: GpuSpec, element_bytes: int) -> Calibration:
    """Rates from the vendor's figures and the shares that are usual; good to a factor of 1.5."""
    peak = gpu.flops_per_second(element_bytes)
    matmul, attention = 1 / (ASSUMED_MATMUL * peak), 1 / (ASSUMED_ATTENTION * peak)
    element = PASSES * element_bytes / (gpu.memory_gb_s * 1e9)
    site = Rate(floor_s=LAUNCH_S, per_projection_s=matmul, per_core_s=attention, per_element_s=element)
    return Calibration(
        device=gpu.id,
        dtype="bfloat16" if element_bytes == 2 else "float32",
        measured=False,
        spatial=site,
        temporal=site,
        cross=site,
        base=Rate(floor_s=LAUNCH_S, per_projection_s=matmul, per_element_s=2 * element),
        text_s=0.1,
        decode=Rate(floor_s=LAUNCH_S, per_projection_s=2 * matmul),
        link_latency_s=gpu.link_latency_us * 1e-6,
        link_bytes_per_s=ASSUMED_LINK * gpu.link_gb_s * 1e9,
    )
