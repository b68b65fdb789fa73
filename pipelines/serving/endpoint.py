"""An endpoint from its start to its end: Ray, Ray Serve, the application, and the signal that ends it."""

import logging
import re
import socket
import threading
import uuid
from collections.abc import Callable

from ray import serve

from cluster.errors import ClusterError, ConfigError
from pipelines.interrupts import Interrupts
from pipelines.local_room import check_room
from pipelines.models import read_whole_card
from pipelines.ray_session import ray_session
from pipelines.serve import CLERK, INGRESS, build
from pipelines.serving.config import HttpConfig, ServeConfig
from pipelines.serving.keys import Keys
from pipelines.serving.lease import StoreLease
from pipelines.store import open_store, probe

APPLICATION = "pabcast"
_QUIET = {"log_level": "WARNING", "enable_access_log": False}

_ANSI = re.compile(r"\x1b\[[0-9;]*m")

Say = Callable[[str], None]


def run_endpoint(config: ServeConfig, say: Say) -> None:
    """Answer until Ctrl-C or SIGTERM; the first lets what runs end, the second ends at once, as one does at the start.

    Raises:
        ConfigError: keys, model, store or address that cannot work; told before anything is started.
        StoreError, ClusterError: it could not be started.
    """
    Keys.read(config.keys_path)
    check_room(config.cluster, read_whole_card(config.model).path)
    _check_free(config.http)
    store, holder = open_store(config.store.uri, "store.uri"), uuid.uuid4().hex
    say(probe(store).message)
    StoreLease(store, holder).take(say)
    say("starting: half a minute, and longer where the model is large")
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    stopping = threading.Event()
    with ray_session(config.cluster):
        try:
            _start(config, holder)
            with Interrupts(stopping.set):
                _serve(config, stopping, say)
        except KeyboardInterrupt:
            if config.cluster.address is not None:  # a local Ray dies with this process
                serve.shutdown()  # type: ignore[no-untyped-call]
            raise


def _serve(config: ServeConfig, stopping: threading.Event, say: Say) -> None:
    say(f"http://{config.http.host}:{config.http.port}/v1/videos; Ctrl-C ends it")
    while not stopping.wait(0.5):
        pass
    _drain(config.limits.drain_s, say)
    serve.shutdown()  # type: ignore[no-untyped-call]


def _start(config: ServeConfig, holder: str) -> None:
    options = {"host": config.http.host, "port": config.http.port}
    serve.start(proxy_location="HeadOnly", http_options=options, logging_config=_QUIET)
    try:
        serve.run(build(config, holder), name=APPLICATION, route_prefix="/", logging_config=_QUIET)
    except RuntimeError as error:
        reason = _reason(error)
        serve.shutdown()  # type: ignore[no-untyped-call]
        raise ClusterError(f"the endpoint could not be started: {reason}") from error


def _drain(patience_s: float, say: Say) -> None:
    """Take nothing in any more and let what runs end."""
    say(
        f"ending: what runs has {patience_s:g} s (limits.drain_s) to be made, what waits is kept for the next start; "
        "a second signal ends at once"
    )
    clerk = serve.get_deployment_handle(CLERK, app_name=APPLICATION)
    left = clerk.close.remote(patience_s).result(timeout_s=patience_s + 30)
    say(f"{left} videos are left for the next start" if left else "nothing is left to make")


def _reason(error: RuntimeError) -> str:
    """Why Serve did not deploy, as its status says."""
    application = serve.status().applications.get(APPLICATION)
    deployments = application.deployments if application else {}
    said = [deployments[name].message for name in (CLERK, INGRESS) if name in deployments and deployments[name].message]
    # Serve shows a traceback; its last line is the error.
    lines = [line for line in _ANSI.sub("", "\n".join(said) or str(error)).splitlines() if line.strip()]
    return lines[-1].strip()[:500] if lines else "Ray Serve does not say why"


def _check_free(http: HttpConfig) -> None:
    try:
        with socket.create_server((http.host, http.port)):
            pass
    except OSError as error:
        raise ConfigError(f"http.host {http.host} and http.port {http.port} cannot be had: {error.strerror}") from error
