"""What a pool is made of."""

from dataclasses import dataclass, field, fields, replace
from typing import Literal

from actors.engine.request import RunOptions, VideoRequest
from cluster.autoscaler import ScalePolicy
from cluster.demand import Demand
from cluster.errors import ConfigError
from cluster.plan import Shares

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A kind of request that a pool's workers compile for before their first one."""

    request: VideoRequest
    options: RunOptions
    width: int
    """Of its gang."""


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """The workers of a pool and the model they hold; two drivers share a pool if theirs are equal.

    Raises:
        ConfigError: a number that cannot work.
    """

    model: str
    """Folder of the model, the same on every node."""
    workers: int
    """Resident workers; also the widest gang."""
    device: Device = "auto"
    """`auto`: cuda if the cluster has GPUs."""
    dtype: Dtype = "auto"
    """`auto`: bfloat16 on cuda, float32 on the CPU."""
    compile: bool = False
    """Whether the model's blocks are compiled: for what is `expected` as a worker starts, else as they first run."""
    compile_cache: str | None = None
    """Folder of what was compiled, for all workers that see it; None: torch's own on the worker's machine."""
    expected: Expected | None = field(default=None, compare=False)
    """The requests to come; drivers that expect others share the pool."""
    threads_per_worker: int | None = None
    """CPU threads a worker computes with; None: the cores of its node, shared out."""
    step_timeout_s: float | None = None
    """A rank that finishes no step (nor text encoding, nor decoding) for so long has hung; None: as `step_limit_s`."""
    client_timeout_s: float = 15.0
    """A driver not heard of for so long is gone."""
    elastic: ScalePolicy | None = None
    """How many workers there are when; None: always `workers`, in one domain."""
    shares: Shares = field(default_factory=Shares)
    """What keeps online and offline requests from starving one another."""
    handover_margin_s: float = 8.0
    """A video that will not end so long before its node goes leaves it at the next full step."""
    simulated_s: float | None = None
    """Workers sleep so long instead of making videos: for measuring the pool."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"cluster.workers is {self.workers}; it must be 1 or more")
        object.__setattr__(self, "elastic", self.scale)
        if self.threads_per_worker is not None and self.threads_per_worker < 1:
            raise ConfigError(f"cluster.threads_per_worker is {self.threads_per_worker}; it must be 1 or more")
        if self.simulated_s is not None and self.simulated_s < 0:
            raise ConfigError(f"simulated_s is {self.simulated_s:g}; it must be 0 or more")
        for name in ("step_timeout_s", "client_timeout_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"cluster.{name} is {value:g}; it must be more than 0")

    def resolve(self, cluster_gpus: float) -> "PoolSpec":
        """The spec with no `auto` left, for a cluster with so many GPUs."""
        device: Device = self.device if self.device != "auto" else ("cuda" if cluster_gpus >= 1 else "cpu")
        dtype: Dtype = self.dtype if self.dtype != "auto" else ("bfloat16" if device == "cuda" else "float32")
        return replace(self, device=device, dtype=dtype, step_timeout_s=self.step_limit_s)

    @property
    def step_limit_s(self) -> float:
        """How long a step may take: what was said, else 120 s, and 900 s where a step may have to compile first."""
        if self.step_timeout_s is not None:
            return self.step_timeout_s
        return 900.0 if self.compile else 120.0

    @property
    def scale(self) -> ScalePolicy:
        """The autoscaling policy; that of a fixed pool keeps all workers in one domain."""
        if self.elastic is not None:
            return self.elastic
        return ScalePolicy(max_workers=self.workers, min_workers=self.workers, domain_workers=self.workers)

    @property
    def is_fixed(self) -> bool:
        """Whether the number of workers never changes."""
        return self.scale.min_workers == self.workers

    @property
    def workers_of_a_domain(self) -> int:
        """As many as a gang can have."""
        return self.scale.domain_workers

    @property
    def demand(self) -> Demand:
        """The bundles that the workers of a domain live in: a GPU and a CPU each, or a CPU each."""
        bundle = (("GPU", 1.0), ("CPU", 1.0)) if self.device == "cuda" else (("CPU", 1.0),)
        return Demand(workers=self.workers_of_a_domain, bundle=bundle)

    def differences(self, other: "PoolSpec") -> str:
        """The fields that differ, as `workers 4, not 2; …`; empty if equal."""
        names = [field.name for field in fields(self) if field.compare]
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return "; ".join(f"{name} {mine!r}, not {theirs!r}" for name, mine, theirs in pairs if mine != theirs)
