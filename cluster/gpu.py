"""A GPU as its vendor describes it."""

from dataclasses import dataclass

from cluster.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GpuSpec:
    """Peak figures of one GPU (or of one CPU worker), and of the link to its neighbours."""

    id: str
    bf16_tflops: float
    """Dense matrix products with float32 accumulation, 10^12 operations a second."""
    fp32_tflops: float
    memory_gb: float
    """10^9 bytes."""
    memory_gb_s: float
    """10^9 bytes a second from its own memory."""
    link_gb_s: float
    """10^9 bytes a second that it can send to the others of its domain, one direction."""
    link_latency_us: float = 20.0
    """What a collective takes before its first byte, microseconds."""
    domain: int = 8
    """How many share the link: the widest gang."""
    dollars_per_hour: float | None = None
    """Price of one, where somebody wants the plan's cost."""
    source: str = ""
    """Where the figures come from."""

    def __post_init__(self) -> None:
        for name in ("bf16_tflops", "fp32_tflops", "memory_gb", "memory_gb_s", "link_gb_s", "domain"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"gpu {self.id}: {name} is {getattr(self, name)}; it must be above 0")

    @property
    def memory_bytes(self) -> int:
        """Its memory in bytes."""
        return int(self.memory_gb * 1e9)

    def flops_per_second(self, element_bytes: int) -> float:
        """Peak rate of matrix products on elements of so many bytes."""
        return (self.bf16_tflops if element_bytes == 2 else self.fp32_tflops) * 1e12
