"""The endpoint as a Ray Serve application: `serve run pipelines.serve:app config=configs/serve.yaml`."""

import json
import uuid
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError
from ray.serve import Application
from ray.serve.config import AutoscalingConfig
from ray.serve.exceptions import RayServeException

from cluster.errors import ClusterError, ConfigError
from pipelines.serving.api import make_api
from pipelines.serving.clerk import Admission, Clerk
from pipelines.serving.config import HttpConfig, ServeConfig, load_serve_config
from pipelines.serving.desk import Desk
from pipelines.serving.job import VideoJob
from pipelines.serving.queue import Look

CLERK, INGRESS = "clerk", "ingress"
_CALLS = 10_000
"""Requests that one process holds at once; what is too much is refused by the clerk."""
_ON_THE_HEAD = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}
"""Nodes of workers come and go; a clerk that moves has what runs made anew."""
_MORE_AFTER_S = 5.0
_FEWER_AFTER_S = 60.0


class ServedClerk:
    """The clerk behind a Serve handle."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def admit(self, job: VideoJob, idempotency_key: str | None, asked: str) -> Admission:
        """As `Clerk.admit`."""
        answer: Admission = await _answer(self._handle.admit.remote(job, idempotency_key, asked))
        return answer

    async def look(self, job_ids: list[str]) -> dict[str, Look]:
        """As `Clerk.look`."""
        answer: dict[str, Look] = await _answer(self._handle.look.remote(job_ids))
        return answer

    async def forget(self, job_id: str) -> None:
        """As `Clerk.forget`; one that starts again reads in the store that the job is deleted."""
        with suppress(ClusterError):
            await _answer(self._handle.forget.remote(job_id))

    async def state(self) -> dict[str, Any]:
        """As `Clerk.state`."""
        answer: dict[str, Any] = await _answer(self._handle.state.remote())
        return answer


async def _answer(response: Awaitable[Any]) -> Any:
    """What the clerk answers; `ClusterError` if it died with the question, and is being started again."""
    try:
        return await response
    except (RayActorError, RayServeException) as error:
        raise ClusterError("the clerk is being started again") from error


class Ingress:
    """One of the processes that answer requests."""

    def __init__(self, config: ServeConfig, clerk: Any) -> None:
        self.desk = Desk(config, ServedClerk(clerk))

    def __serve_build_asgi_app__(self) -> FastAPI:
        """What Serve asks of a class whose app is made in its replica."""
        return make_api(lambda: self.desk)


def build(config: ServeConfig, holder: str) -> Application:
    """The application of an endpoint that holds its store by the name `holder`."""
    clerk = serve.deployment(
        name=CLERK,
        num_replicas=1,
        max_ongoing_requests=_CALLS,
        ray_actor_options=_ON_THE_HEAD,
        health_check_period_s=2.0,
        graceful_shutdown_timeout_s=10.0,
    )(Clerk)
    ingress = serve.deployment(
        name=INGRESS,
        max_ongoing_requests=_CALLS,
        ray_actor_options=_ON_THE_HEAD,
        health_check_period_s=2.0,
        **_replicas(config.http),
    )(serve.ingress()(Ingress))
    application: Application = ingress.bind(config, clerk.bind(config, holder))
    return application


def _replicas(http: HttpConfig) -> dict[str, Any]:
    """How many ingress processes there are: a number, or as many as their requests want."""
    if http.max_replicas in (None, http.replicas):
        return {"num_replicas": http.replicas}
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=http.replicas,
            max_replicas=http.max_replicas,
            target_ongoing_requests=http.requests_of_a_replica,
            upscale_delay_s=_MORE_AFTER_S,
            downscale_delay_s=_FEWER_AFTER_S,
        )
    }


def app(args: dict[str, Any]) -> Application:
    """For `serve run` and `serve deploy`: `config` is the YAML, every other argument an override of it."""
    values = dict(args)
    path = values.pop("config", "configs/serve.yaml")
    if not isinstance(path, str):
        raise ConfigError(f"config is {path!r}; a file's name is wanted")
    return build(
        load_serve_config(path, [f"{name}={json.dumps(value)}" for name, value in values.items()]), uuid.uuid4().hex
    )


def __getattr__(name: str) -> Application:
    """`pipelines.serve:default` is the endpoint of configs/serve.yaml, for `serve build`, which takes no arguments."""
    if name != "default":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return app({})
