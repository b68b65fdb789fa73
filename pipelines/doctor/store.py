"""The store that something will be written to, and the input that is read: really tried."""

import fcntl
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from cluster.errors import ConfigError, StoreError
from pipelines.commands.output import spell_bytes, spell_seconds
from pipelines.config import JobConfig
from pipelines.doctor.finding import Finding, failed, failed_by, ok, warning
from pipelines.doctor.wanted import Wanted
from pipelines.prompts import check_input
from pipelines.store import LocalStore, ProbeResult, Store, open_store, probe

SLOW_S = 5.0
REACH_S = 5.0
TURN_S = 20.0
"""How long one doctor waits for another that tries a folder: a probe takes no longer than 15 s."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
PORTS = {"http": 80, "https": 443}


def look_at_store(wanted: Wanted) -> list[Finding]:
    """The line `store`: writes, reads, races for and deletes a few small objects, and leaves nothing."""
    begun = time.monotonic()
    try:
        store = open_store(wanted.store or "", wanted.store_key)
        with undisturbed(), _left_as_it_was(store):
            result = probe(store)
    except (ConfigError, StoreError) as error:
        return [failed_by("store", error)]
    return [judge_store(result, time.monotonic() - begun)]


def judge_store(result: ProbeResult, seconds: float) -> Finding:
    """Whether the store keeps two jobs from making the same video, and how long its answers took."""
    took = f"tried in {spell_seconds(seconds)}"
    if result.conditional_put == "no lock":
        found, _, way_out = result.message.rpartition("; ")
        return failed("store", f"{found}; {took}", f"{way_out}, or take a store that knows If-None-Match")
    found = f"{result.message}; {took}"
    if seconds > SLOW_S:
        return warning("store", found, "each video waits for a few such calls: take a store that is nearer")
    return ok("store", found)


def look_at_endpoint(wanted: Wanted) -> list[Finding]:
    """The line `s3 endpoint`, where the environment names one and no bucket is asked about."""
    variable, url = next((name, os.environ[name]) for name in ENDPOINTS if os.environ.get(name))
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):  # what it says quotes the URL, which may hold a password
        port = 0
    if not port or not parts.hostname:
        return [failed("s3 endpoint", f"{variable} is no URL", "set it as in http://127.0.0.1:9000")]
    place = f"{parts.scheme}://{parts.hostname}:{port}"
    try:
        socket.create_connection((parts.hostname, port), timeout=REACH_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return [failed("s3 endpoint", f"nothing answers at {place}: {reason}", f"check {variable} and the network")]
    return [ok("s3 endpoint", f"{place} answers; --store s3://bucket/prefix tries its conditional put")]


def has_endpoint() -> bool:
    """Whether the environment names one."""
    return any(os.environ.get(name) for name in ENDPOINTS)


def look_at_input(wanted: Wanted) -> list[Finding]:
    """The line `input` of a job."""
    if not isinstance(wanted.config, JobConfig):
        return []
    try:
        found = check_input(wanted.config.input.path)
    except (ConfigError, StoreError) as error:
        return [failed_by("input", error)]
    files = f"{len(found.files)} file{'' if len(found.files) == 1 else 's'}"
    return [ok("input", f"{found.uri}: {files} of {found.format}, {spell_bytes(found.bytes)}")]


@contextmanager
def _left_as_it_was(store: Store) -> Iterator[None]:
    """Remove the folders that the probe of a local store has made."""
    if not isinstance(store, LocalStore):
        yield
        return
    folders = [store.root / "_pabcast/probe", store.root / "_pabcast", store.root, *store.root.parents]
    with _in_turn():
        made = [folder for folder in folders if not folder.exists()]
        try:
            yield
        finally:
            _remove_empty(made)


@contextmanager
def _in_turn() -> Iterator[None]:
    """One doctor after another: a folder that one has made the next would find, and neither remove."""
    number = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        deadline = time.monotonic() + TURN_S
        while not _locks(number) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield
    finally:
        os.close(number)


def _locks(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def undisturbed() -> Iterator[None]:
    """Be deaf to SIGTERM, by which the command ends its checks, until what was written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
