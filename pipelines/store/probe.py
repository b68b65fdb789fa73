"""Whether a store can be used, told before anything is computed."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from cluster.errors import StoreError
from pipelines.store.interface import NotFound, Store

DEADLINE_S = 14.0
RACERS = 8
ROUNDS = 3
STALE_S = 3600.0
PROBE_FOLDER = "_pabcast/probe"


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What a store can do."""

    conditional_put: Literal["lock", "no lock"]
    """Whether of many writers of one key exactly one wins."""
    message: str
    """One sentence for a person."""


def probe(store: Store) -> ProbeResult:
    """Write, read back, race for and delete keys under ``_pabcast/probe/``, within 15 seconds.

    Raises `StoreError` in one sentence if the store cannot be reached or written, or is too slow.
    """
    outcome: list[ProbeResult | BaseException] = []

    def examine() -> None:
        try:
            outcome.append(_examine(store.hurried(DEADLINE_S * 0.7)))
        except BaseException as error:  # handed to the caller's thread below
            outcome.append(error)

    # A thread of our own, because a look-up of the host's name has no time-out that we could set.
    thread = threading.Thread(target=examine, name="store-probe", daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    if not outcome:
        raise StoreError(f"{store.uri} did not answer within {DEADLINE_S:g} s; check AWS_ENDPOINT_URL and the network")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _examine(store: Store) -> ProbeResult:
    key = f"{PROBE_FOLDER}/{uuid.uuid4().hex}"
    _check_round_trip(store, key)
    try:
        second_refused = not store.put_if_absent(key, uuid.uuid4().bytes)
        is_lock = second_refused and all(_winners(store, f"{key}-{round_}") == 1 for round_ in range(ROUNDS))
    finally:
        _clean_up(store, key)
    if is_lock:
        return ProbeResult(conditional_put="lock", message=f"{store.uri} can be written; its conditional put is a lock")
    return ProbeResult(
        conditional_put="no lock",
        message=f"{store.uri} can be written, but its conditional put is no lock: "
        "two jobs that write there at once may make the same video twice; run one at a time",
    )


def _clean_up(store: Store, key: str) -> None:
    """Delete the keys of this probe, and those of probes that died long ago."""
    with suppress(StoreError):
        for item in store.list(f"{PROBE_FOLDER}/"):
            if item.key.startswith(key) or item.modified < time.time() - STALE_S:
                store.delete(item.key)


def _check_round_trip(store: Store, key: str) -> None:
    data = uuid.uuid4().bytes
    store.put_if_absent(key, data)
    try:
        given = store.get(key)
    except NotFound as error:
        raise StoreError(
            f"{store.uri} took an object and does not have it; check that AWS_ENDPOINT_URL is an S3 store"
        ) from error
    if given != data:
        raise StoreError(f"{store.uri} gave back other bytes than were written; it cannot hold a dataset")


def _winners(store: Store, key: str) -> int:
    start = threading.Barrier(RACERS)

    def race(_: int) -> bool:
        start.wait()
        return store.put_if_absent(key, uuid.uuid4().bytes)

    with ThreadPoolExecutor(RACERS) as racers:
        return sum(racers.map(race, range(RACERS)))
