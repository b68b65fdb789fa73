"""What a machine is looked at for: a job, an endpoint, or just to know."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.errors import ConfigError
from pipelines.config import Device, VideoConfig, make_config
from pipelines.serving.config import make_serve_config
from pipelines.store import open_store


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What must be there; everything that a check reads, so that it can run in a process of its own."""

    config: VideoConfig | None = None
    """The job's or the endpoint's; None: the machine alone is asked about."""
    gpu: bool = False
    """Whether a GPU of this machine is asked for, whatever the config says."""
    store: str | None = None
    """Where something will be written."""
    store_key: str = "--store"
    """What a person calls that."""
    address: str | None = None
    """Of the Ray cluster to join; None: Ray is started here."""

    @property
    def workers(self) -> int:
        """How many this machine must hold, as far as it is known."""
        return self.config.cluster.workers if self.config and self.address is None else 1

    @property
    def least_workers(self) -> int:
        """How many of them must be there for anything to run: an elastic pool begins with one domain."""
        if self.config is None or self.address is not None:
            return 1
        cluster = self.config.cluster
        return cluster.workers if cluster.min_workers is None else max(cluster.min_workers, cluster.widest_gang)

    @property
    def widest_gang(self) -> int:
        """The most workers that make one video together."""
        return self.config.cluster.widest_gang if self.config else 1

    @property
    def device(self) -> Device:
        """What the workers of this machine compute on; what a cluster's do, its nodes decide."""
        if self.gpu:
            return "cuda"
        return self.config.cluster.device if self.config and self.address is None else "auto"

    @property
    def needs_gpu(self) -> bool:
        """Whether this machine must have one."""
        return self.device == "cuda"

    @property
    def shuns_gpu(self) -> bool:
        """Whether none would be used."""
        return self.device == "cpu"


def read_wanted(
    values: Mapping[str, Any] | None, *, gpu: bool = False, store: str | None = None, address: str | None = None
) -> Wanted:
    """What the config with these `values`, a job's or an endpoint's, wants, and what was asked for beside it.

    Raises:
        ConfigError: the config cannot work, or what was asked for beside it is empty.
    """
    if address is not None and not address.strip():
        raise ConfigError("--address is empty; give auto or host:port, or leave it out to start Ray here")
    wanted = Wanted() if values is None else _of_config(values)
    wanted = replace(wanted, gpu=gpu, address=address or wanted.address)
    if store is not None:
        wanted = replace(wanted, store=store, store_key="--store")
    if wanted.store is not None:
        open_store(wanted.store, wanted.store_key)  # checks it
    return wanted


def _of_config(values: Mapping[str, Any]) -> Wanted:
    if "store" in values and "output" not in values:
        endpoint = make_serve_config(values)
        return Wanted(
            config=endpoint, store=endpoint.store.uri, store_key="store.uri", address=endpoint.cluster.address
        )
    job = make_config(values)
    return Wanted(config=job, store=job.output.uri, store_key="output.uri", address=job.cluster.address)
