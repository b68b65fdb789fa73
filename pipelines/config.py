"""The config of a job: YAML plus `key=value` overrides, checked once, into frozen dataclasses.

Each section's dataclass lives beside its owner; this file composes them. Relative paths of `input.path` and
`output.uri` start at the current directory; an input under `configs/` that is not there is the shipped one.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from omegaconf import OmegaConf

from actors.engine.request import RunOptions
from actors.spec import Expected, PoolSpec
from cluster.autoscaler import ScalePolicy
from cluster.errors import ConfigError
from cluster.guidance import Guidance
from cluster.pab import PabConfig
from cluster.plan import Shares
from pipelines.given_paths import check_uri, user_path
from pipelines.models import KnownModel, known_model
from pipelines.pab_text import read_pab
from pipelines.places import find_shipped
from pipelines.sampling import Sampling
from pipelines.strict import build
from pipelines.widths import GangConfig
from pipelines.yaml_file import read_yaml

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """Where the prompts are."""

    path: str
    """A file, a folder or s3://...; parquet, jsonl, csv or txt by suffix."""

    def __post_init__(self) -> None:
        check_uri(self.path, "input.path")


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Where the dataset goes."""

    uri: str
    """A folder or s3://bucket/prefix."""

    def __post_init__(self) -> None:
        check_uri(self.uri, "output.uri")


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """The Ray cluster and the workers on it; times in seconds."""

    address: str | None = None
    """An existing cluster's address (auto, ray://..., host:port); null starts a local Ray for this job."""
    workers: int = 1
    """Resident workers; each holds one model. The most there may be, if min_workers is less."""
    min_workers: int | None = None
    """The fewest, also with nothing to do; 0 is possible. Null: always `workers`."""
    domain_workers: int | None = None
    """Workers of one placement group, as on one node: the pool grows by so many, and a gang is at most so wide.
    Null: all."""
    idle_release_s: float = 60.0
    """How long a domain may have nothing to do before it is given back."""
    backlog_s: float = 120.0
    """The pool grows until all that waits is predicted to be done in so many seconds."""
    budget_gpu_hours: float | None = None
    """Once the pool has used so much nothing more starts; null: no limit."""
    spot: bool = False
    """Whether spot nodes are asked for first (nodes labelled ray.io/market-type=spot)."""
    spot_timeout_s: float = 120.0
    """How long spot nodes may take to come before on-demand ones are asked for."""
    offline_share: float = 0.1
    """The share of the workers' time that jobs get while online requests wait too."""
    online_workers: int = 0
    """Workers that jobs never hold."""
    device: Device = "auto"
    dtype: Dtype = "auto"
    compile: bool = False
    """Compile the model's blocks (torch.compile): for videos as `sampling` has them before a worker's first one, for
    others as they come."""
    compile_cache: str | None = None
    """Folder of what was compiled, for all workers that see it; null: a temporary one of each machine."""
    threads_per_worker: int | None = None
    """CPU threads of a worker; null shares the cores out."""
    step_timeout_s: float | None = None
    """How long a gang may take over one step before its video is failed and tried again; null: 120, with `compile`
    900, as its first step compiles."""
    client_timeout_s: float = 15.0
    """How long the pool outlives a job that was killed."""
    ready_timeout_s: float | None = None
    """How long to wait for the workers to load the model and compile; null: 600, with `compile` 1800."""

    ship_code: bool = False
    """Send pabcast's packages to the nodes of an existing cluster that does not have them installed."""

    def __post_init__(self) -> None:
        positive = ("workers", "domain_workers", "threads_per_worker", "step_timeout_s", "client_timeout_s")
        for name in (*positive, "ready_timeout_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"cluster.{name} is {value}; it must be more than 0")
        if not 0 <= self.offline_share < 1:
            raise ConfigError(f"cluster.offline_share is {self.offline_share:g}; it must be 0 or more and below 1")
        if not 0 <= self.online_workers < self.workers:
            raise ConfigError(
                f"cluster.online_workers is {self.online_workers} of cluster.workers {self.workers}; "
                "it must be 0 or more, and leave a worker for jobs"
            )
        if self.workers % self.widest_gang:
            domains = self.workers // self.widest_gang
            ways = [count * self.widest_gang for count in (domains, domains + 1) if count]
            raise ConfigError(
                f"cluster.workers {self.workers} is no multiple of cluster.domain_workers {self.domain_workers}; "
                f"use {' or '.join(map(str, ways))} workers"
            )
        _ = self.elastic  # checks the rest

    @property
    def widest_gang(self) -> int:
        """As many workers as a domain has."""
        return self.domain_workers or self.workers

    @property
    def widest_of_a_job(self) -> int:
        """As many workers of a domain as a job may hold."""
        return min(self.widest_gang, self.workers_of_a_job)

    @property
    def workers_of_a_job(self) -> int:
        """As many as a job may hold at once, all together."""
        return self.workers - self.online_workers

    @property
    def ready_limit_s(self) -> float:
        """How long to wait for the workers."""
        return self.ready_timeout_s or (1800.0 if self.compile else 600.0)

    @property
    def _offline_workers(self) -> int | None:
        return self.workers_of_a_job if self.online_workers else None

    @property
    def elastic(self) -> ScalePolicy:
        """How many workers there are when."""
        return ScalePolicy(
            max_workers=self.workers,
            min_workers=self.workers if self.min_workers is None else self.min_workers,
            domain_workers=self.widest_gang,
            idle_release_s=self.idle_release_s,
            backlog_s=self.backlog_s,
            budget_gpu_hours=self.budget_gpu_hours,
            spot=self.spot,
            spot_timeout_s=self.spot_timeout_s,
        )

    def pool_spec(self, model: str, expected: Expected | None = None) -> PoolSpec:
        """What the pool is made of, for the model in that folder and the requests that are expected."""
        cache = self.compile_cache and str(user_path(self.compile_cache, "cluster.compile_cache").absolute())
        return PoolSpec(
            model=model,
            workers=self.workers,
            device=self.device,
            dtype=self.dtype,
            compile=self.compile,
            compile_cache=cache,
            expected=expected,
            threads_per_worker=self.threads_per_worker,
            step_timeout_s=self.step_timeout_s,
            client_timeout_s=self.client_timeout_s,
            elastic=self.elastic,
            shares=Shares(offline=self.offline_share, offline_workers=self._offline_workers),
        )


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How a gang runs a video; none of it changes what is made."""

    guidance: Literal["auto"] | Guidance = "auto"
    """How the two guidance branches share a gang; auto: split where widths are chosen by cost, else batched."""
    snapshot_every: int | None = 4
    """Steps between snapshots at least, from which a video goes on when its gang breaks; null takes none."""

    def options(self, *, by_cost: bool) -> RunOptions:
        """As the engine takes them; `by_cost` says how widths are chosen."""
        auto: Guidance = "split" if by_cost else "batched"
        return RunOptions(
            guidance=auto if self.guidance == "auto" else self.guidance, snapshot_every=self.snapshot_every
        )

    def __post_init__(self) -> None:
        self.options(by_cost=False)  # checks them


def _read_model(value: object, key: str) -> KnownModel:
    if not isinstance(value, str):
        raise ConfigError(f"{key} is {value!r}; a model's id or folder is wanted")
    return known_model(value)


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """How videos are made: what jobs and endpoints have in common."""

    model: KnownModel = field(metadata={"read": _read_model})
    sampling: Sampling
    pab: PabConfig = field(default_factory=PabConfig, metadata={"read": read_pab})
    gang: GangConfig = field(default_factory=GangConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    attempts: int = 3
    """How many ranks a video may lose without getting further; then its prompt counts as what kills them."""
    gpu: str | None = None
    """What to plan for: an entry of configs/gpus; null is the machine at hand."""
    calibration: str | None = None
    """A file of `pabcast bench calibrate`: measured rates instead of assumed ones."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigError(f"attempts is {self.attempts}; it must be 1 or more")
        if self.gpu is None:  # a plan for other hardware has that hardware's workers
            self.gang.check_workers(self.cluster.widest_of_a_job)

    @property
    def options(self) -> RunOptions:
        """How a gang runs its videos."""
        return self.engine.options(by_cost=self.gang.is_by_cost)

    def to_yaml(self) -> str:
        """The resolved config as YAML that loads again."""
        plain = dataclasses.asdict(self)
        plain |= {"model": self.model.id, "pab": self.pab.text()}
        return OmegaConf.to_yaml(OmegaConf.create(plain))


@dataclass(frozen=True, kw_only=True)
class JobConfig(VideoConfig):
    """All of a job."""

    input: InputConfig
    output: OutputConfig
    flight: int | None = None
    """Most videos submitted at once; null is 2 x workers + 2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.flight is not None and self.flight < 1:
            raise ConfigError(f"flight is {self.flight}; it must be 1 or more")

    @property
    def videos_in_flight(self) -> int:
        """The bound on videos submitted at once."""
        return self.flight or 2 * self.cluster.workers + 2


def load_config(path: str, overrides: Sequence[str] = ()) -> JobConfig:
    """Load a job's config from YAML at `path`, with `key=value` overrides on top; `ConfigError` if it cannot work."""
    return make_config(read_values(path, overrides))


def read_values(path: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain values of `load_config`: what the file and `overrides` say, and no defaults but the model."""
    return {"model": "demo", **read_yaml(find_shipped(path), "the config", overrides)}


def make_config(values: Mapping[str, Any]) -> JobConfig:
    """Build a job's config from plain values; what `sampling` does not say is as the model's entry says."""
    config = build(JobConfig, with_model_sampling(values))
    return dataclasses.replace(config, input=InputConfig(path=find_shipped(config.input.path)))


def with_model_sampling(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """`values` with what the model's entry says of `sampling` where they do not."""
    model, sampling = values.get("model"), values.get("sampling", {})
    if isinstance(model, str) and isinstance(sampling, Mapping):
        return {**values, "sampling": {**known_model(model).sampling, **sampling}}
    return values
