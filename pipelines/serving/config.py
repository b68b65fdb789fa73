"""The config of an endpoint: YAML plus `key=value` overrides, checked once."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import ConfigError
from pipelines.config import VideoConfig, read_values, with_model_sampling
from pipelines.given_paths import check_uri, user_path
from pipelines.strict import build


@dataclass(frozen=True, kw_only=True)
class HttpConfig:
    """Where the endpoint listens."""

    host: str = "127.0.0.1"
    port: int = 8000
    replicas: int = 2
    """Processes that answer requests; any of them answers for any video."""
    max_replicas: int | None = None
    """So many at most where more requests are under way than `replicas` of them should hold; none: never more."""
    requests_of_a_replica: int = 64
    """Under way at once, above which there are more replicas, streams of events included."""
    max_body_bytes: int = 1 << 20
    """A larger request is refused before it is read."""

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ConfigError(f"http.port is {self.port}; it must be from 1 to 65535")
        for name in ("replicas", "requests_of_a_replica", "max_body_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"http.{name} is {getattr(self, name)}; it must be 1 or more")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ConfigError(
                f"http.max_replicas is {self.max_replicas} and http.replicas {self.replicas}; it must not be less"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """Where jobs and videos are kept."""

    uri: str
    """A folder or s3://bucket/prefix, one that every node reaches."""

    def __post_init__(self) -> None:
        check_uri(self.uri, "store.uri")


@dataclass(frozen=True, kw_only=True)
class AuthConfig:
    """Who may ask."""

    keys_file: str | None = None
    """A file of one `name:sha256-of-key` a line; a request carries `Authorization: Bearer KEY`."""
    disabled: bool = False
    """Whether anybody may; for an endpoint that only this machine can reach."""


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """What is refused, and how long things are kept."""

    queue: int = 50
    """Videos that may wait or be made; another one is answered 429."""
    per_key: int = 25
    """Of these, those of one key."""
    keep_s: float = 86400.0
    """How long a video is kept after it was asked for."""
    deadline_s: float | None = None
    """Within which a video is to be made after it was asked for; one that cannot be any more takes no gang."""
    drain_s: float = 600.0
    """How long what runs may take to end after SIGTERM; what has not ended by then is made by the next start."""

    def __post_init__(self) -> None:
        for name in ("queue", "per_key", "keep_s", "deadline_s"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ConfigError(f"limits.{name} is {getattr(self, name):g}; it must be more than 0")
        if self.drain_s < 0:
            raise ConfigError(f"limits.drain_s is {self.drain_s:g}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class ServeConfig(VideoConfig):
    """All of an endpoint."""

    store: StoreConfig
    http: HttpConfig = field(default_factory=HttpConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auth.disabled and not self.http.is_loopback:
            raise ConfigError(
                f"auth.disabled is true and http.host is {self.http.host}, which others can reach; "
                "give auth.keys_file, or listen on 127.0.0.1"
            )
        if self.auth.disabled and self.auth.keys_file is not None:
            raise ConfigError("auth.keys_file is given and auth.disabled is true; set auth.disabled=false")
        if not self.auth.disabled and self.auth.keys_file is None:
            raise ConfigError(
                "auth.keys_file is missing; give a file with a line name:sha256-of-key for each key "
                "(printf %s KEY | sha256sum), or auth.disabled=true with http.host 127.0.0.1"
            )

    @property
    def keys_path(self) -> str | None:
        """The file of keys, as every process finds it; none if anybody may ask."""
        if self.auth.disabled or self.auth.keys_file is None:
            return None
        return str(user_path(self.auth.keys_file, "auth.keys_file").absolute())


def load_serve_config(path: str, overrides: Sequence[str] = ()) -> ServeConfig:
    """Load an endpoint's config from YAML at `path`, with `key=value` overrides on top.

    Raises:
        ConfigError: it cannot work.
    """
    return make_serve_config(read_values(path, overrides))


def make_serve_config(values: Mapping[str, Any]) -> ServeConfig:
    """Build an endpoint's config from plain values."""
    return build(ServeConfig, with_model_sampling(values))
