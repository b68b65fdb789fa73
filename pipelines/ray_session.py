"""A connection to Ray for the length of one command: a local Ray of its own, or a cluster that is there."""

import io
import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from cluster.errors import ClusterError
from pipelines.config import ClusterConfig
from pipelines.daemons import Daemons
from pipelines.orphans import PATIENCE_S, end_orphans, end_own, mark_this_driver, unmark
from pipelines.places import ROOT
from pipelines.ray_init import RayInit

REACH_TIMEOUT_S = 10.0
_QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS": "0",
    "GLOG_minloglevel": "3",
}
_LOCAL = {
    # When a local gcs_server dies, Ray ends this process without a word after a minute: time to say so first.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3600",
}

log = logging.getLogger("pabcast.ray")


class _RayLines(io.TextIOBase):
    """Stands in for stdout, where Ray prints remarks of its own; they go to the log."""

    def write(self, text: str) -> int:
        if text.strip():
            log.info(text.rstrip())
        return len(text)


@contextmanager
def ray_session(config: ClusterConfig) -> Iterator[Daemons]:
    """Be connected to Ray inside the `with`; a process that already is stays so, also afterwards.

    A local Ray dies with this process, however it ends. After a KeyboardInterrupt, or when it has lost a daemon, it
    is killed and stays unusable in this process. Raises `ClusterError` if the cluster cannot be reached.
    """
    for name, value in (_QUIET if config.address else _QUIET | _LOCAL).items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield Daemons()
        return
    with redirect_stdout(_RayLines()):
        daemons, hasty = None, False
        init = RayInit(**_how(config))
        try:
            _wait_for(init, config)
            daemons = Daemons()
            yield daemons
        except KeyboardInterrupt:
            hasty = config.address is None
            raise
        finally:
            if daemons is not None:
                daemons.let_go()
            _disconnect(ray, config, at_once=hasty or (daemons is not None and daemons.ending()))
            init.end()


def quiet_ray_data() -> Any:
    """Ray Data's settings for a job: no bars, no chatter, and waiting for a GPU is not hanging."""
    import ray.data

    warnings.filterwarnings("ignore", module=r"ray\.data")
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1
    return context


def _how(config: ClusterConfig) -> dict[str, Any]:
    """The arguments of `ray.init`."""
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if config.address is None:
        end_orphans()
        mark_this_driver()
        how |= {"address": "local", "num_cpus": config.workers, "include_dashboard": False}
    else:
        reach(config.address)
        how["address"] = config.address
    if config.ship_code:
        how["runtime_env"] = {"py_modules": [str(ROOT / name) for name in ("cluster", "actors", "pipelines")]}
    return how


def _wait_for(init: RayInit, config: ClusterConfig) -> None:
    try:
        with _hushed():
            init.start()
            init.wait()
    except Exception as error:  # a bare one where its start takes too long
        first = (str(error).splitlines() or [type(error).__name__])[0]
        if "timed out" in first:
            first = "it was not ready in time; the machine may be busy, try again"
        where = "a local Ray could not be started" if config.address is None else f"no Ray at {config.address}"
        raise ClusterError(f"{where}: {first}{_token_hint(config)}") from error


def _disconnect(ray: Any, config: ClusterConfig, *, at_once: bool) -> None:
    patience_s = 0.0
    try:
        if not at_once:
            # It asks each of Ray's processes: not when they are gone, or somebody waits for the end.
            ray.shutdown()
            patience_s = PATIENCE_S
        if config.address is None:
            end_own(patience_s)
        if config.address is None and not at_once:
            # Another driver may have been killed meanwhile, and no job may come after this one.
            end_orphans()
    except KeyboardInterrupt:
        if config.address is None:
            end_own(patience_s=0)
        raise
    finally:
        unmark()


def _token_hint(config: ClusterConfig) -> str:
    """`ray start` asks for a token by default, but Ray shows one only to whom the variable says so."""
    if config.address is None or "RAY_AUTH_MODE" in os.environ:
        return ""
    return "; if it asks for a token (`ray start` makes one by default), set RAY_AUTH_MODE=token"


@contextmanager
def _hushed() -> Iterator[None]:
    """Nothing reaches stderr inside the `with`: Ray's C++ writes there by itself; its errors come as exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def reach(address: str, what: str = "cluster.address", timeout_s: float = REACH_TIMEOUT_S) -> None:
    """Raise `ClusterError`, which calls the address `what`, if nobody answers soon; Ray itself takes minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=timeout_s).close()
    except OSError as error:
        raise ClusterError(
            f"nothing answers at {what} {address}: {error.strerror or error}; "
            "correct it, or see that Ray's head runs there and the network lets this machine through"
        ) from error
