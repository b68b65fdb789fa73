"""The Ray cluster at an address: that it answers, lets us in, and is of our versions."""

import ipaddress
import platform
import queue
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from cluster.errors import ClusterError
from pipelines.doctor.finding import Finding, failed, failed_by, ok, warning
from pipelines.doctor.wanted import Wanted
from pipelines.ray_session import reach

REACH_S = 5.0
ANSWER_S = 8.0
JOIN_S = 60.0
"""Through ray:// a process is started for each driver."""
ALIVE = 0
CLIENT = "ray://"
HTTP_ANSWER = re.compile(r"http2 header with status: ([0-9]{3})")
"""How gRPC tells that what answers knows no gRPC: a server of Ray's says 200."""
SHOW_TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token"


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What a cluster says of itself."""

    ray: str
    python: str
    nodes: int | None = None
    """None: not told, as through ray://."""
    gpus: float | None = None

    def spell(self) -> str:
        """The versions."""
        return f"Ray {self.ray} and Python {self.python}"


def look_at_cluster(wanted: Wanted) -> list[Finding]:
    """The lines `ray token` and, where Ray may be asked, `ray cluster` and `cluster gpus`."""
    address = wanted.address or ""
    token = look_at_token(address)
    return [token] if token.status == "failed" else [token, *_look(address, wanted)]


def look_at_token(address: str) -> Finding:
    """Whether Ray would show a token. Where it would and has none, its C++ ends the process that connects."""
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray._raylet import (  # type: ignore[attr-defined]
        AuthenticationMode,
        AuthenticationTokenLoader,
        get_authentication_mode,
    )

    if address == "auto":  # as `ray.init` does
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    if get_authentication_mode() == AuthenticationMode.TOKEN:
        if AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
            return ok("ray token", "one is there, and Ray shows it")
        return failed("ray token", "RAY_AUTH_MODE=token, and there is no token", SHOW_TOKEN)
    found = "Ray shows none, as RAY_AUTH_MODE does not ask for it"
    if is_loopback(address):
        return ok("ray token", found)
    return warning("ray token", f"{found}; whoever reaches a cluster without tokens runs code on it", SHOW_TOKEN)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches `address`, as far as it says."""
    host = address.removeprefix(CLIENT).rpartition(":")[0].strip("[]")
    try:
        return host in ("", "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def judge_cluster(address: str, theirs: ClusterFacts, ours: ClusterFacts) -> Finding:
    """Whether a driver of our versions may join: through ray:// Python's patch level is free."""
    parts = 2 if address.startswith(CLIENT) else 3
    nodes = "" if theirs.nodes is None else f", {theirs.nodes} node{'' if theirs.nodes == 1 else 's'}"
    if theirs.ray == ours.ray and theirs.python.split(".")[:parts] == ours.python.split(".")[:parts]:
        return ok("ray cluster", f"{address}: {theirs.spell()}{nodes}")
    return failed(
        "ray cluster",
        f"{address} has {theirs.spell()}, and here is {ours.spell()}; Ray joins equal ones only",
        f"install {theirs.spell()} here, or {ours.spell()} on the cluster",
    )


def judge_refusal(address: str, error: Exception) -> Finding:
    """Of an address that answers, and with which Ray cannot talk."""
    if answer := HTTP_ANSWER.search(str(error)):
        found = f"what answers at {address} is a server of HTTP or a proxy and no Ray: it says {answer[1]}"
        return failed("ray cluster", found, "correct the address, or have what is in between let Ray's gRPC through")
    said = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    found = f"{address} does not let us in: {' '.join(dict.fromkeys((said[0], said[-1])))}"
    return failed("ray cluster", found, "see how its head fares, and that the address is its own")


def judge_cluster_gpus(gpus: float, workers: int) -> Finding:
    """Whether a cluster has GPUs for so many workers; what is missing, an autoscaler may bring."""
    found = f"{gpus:g} there, and up to {workers} worker{' wants one' if workers == 1 else 's want one each'}"
    if gpus >= workers:
        return ok("cluster gpus", found)
    return warning("cluster gpus", found, "add nodes with GPUs, unless an autoscaler does, or ask for fewer workers")


def _look(address: str, wanted: Wanted) -> list[Finding]:
    import ray
    from ray.exceptions import AuthenticationError

    try:
        theirs = _ask_client(address) if address.startswith(CLIENT) else _ask_gcs(address)
    except ClusterError as error:
        return [failed_by("ray cluster", error)]
    except AuthenticationError:
        return [failed("ray cluster", f"{address} wants a token, and was shown none or another", SHOW_TOKEN)]
    except Exception as error:
        return [judge_refusal(address, error)]
    ours = ClusterFacts(ray=ray.__version__, python=platform.python_version())
    lines = [judge_cluster(address, theirs, ours)]
    if theirs.gpus is not None and wanted.config and wanted.config.cluster.device == "cuda":
        lines.append(judge_cluster_gpus(theirs.gpus, wanted.config.cluster.workers))
    return lines


def _ask_gcs(address: str) -> ClusterFacts:
    """Ask the head's GCS, as a driver that joins does first."""
    from ray._common.usage.usage_lib import get_cluster_metadata
    from ray._private.services import canonicalize_bootstrap_address_or_die
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    try:
        place = canonicalize_bootstrap_address_or_die(address)
    except (ConnectionError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ClusterError(f"no Ray at {address}: {first}; start one with ray start --head, or correct it") from error
    # Of localhost Ray makes the node's own address; what was given is what a person knows.
    reach(place if address == "auto" else address, "the address", REACH_S)

    def ask() -> ClusterFacts:
        client = GcsClient(address=place)
        told = get_cluster_metadata(client)
        alive = [node for node in client.get_all_node_info(timeout=ANSWER_S).values() if node.state == ALIVE]
        gpus = sum(node.resources_total.get("GPU", 0.0) for node in alive)
        return ClusterFacts(ray=told["ray_version"], python=told["python_version"], nodes=len(alive), gpus=gpus)

    return _within(ANSWER_S, address, ask)


def _ask_client(address: str) -> ClusterFacts:
    """Connect through ray://: the server tells its versions only to a driver that has joined."""
    from ray.util.client import ray as client

    reach(address, "the address", REACH_S)

    def ask() -> ClusterFacts:
        place = address.removeprefix(CLIENT)
        told = client.connect(place, connection_retries=1, ignore_version=True)  # type: ignore[no-untyped-call]
        client.disconnect()  # type: ignore[no-untyped-call]
        return ClusterFacts(ray=told["ray_version"], python=told["python_version"])

    return _within(JOIN_S, address, ask)


def _within(limit_s: float, address: str, ask: Callable[[], ClusterFacts]) -> ClusterFacts:
    """What `ask` says; it may wait for minutes where something listens that is no Ray."""
    answers: queue.Queue[ClusterFacts | Exception] = queue.Queue()

    def listen() -> None:
        try:
            answers.put(ask())
        except Exception as error:  # raised again by the thread that waits
            answers.put(error)

    threading.Thread(target=listen, daemon=True).start()
    try:
        answer = answers.get(timeout=limit_s)
    except queue.Empty:
        raise ClusterError(
            f"something listens at {address} and does not answer as Ray's head within {limit_s:g} s; "
            "correct the address, or see how the head fares"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    return answer
