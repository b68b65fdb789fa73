"""One endpoint a store: two would make the same videos, and each would not know of the other's cancellations."""

import json
import secrets
import time
from collections.abc import Callable

from cluster.errors import ClusterError
from pipelines.store import NotFound, Store

KEY = "endpoint.json"
LEASE_S = 10.0
"""How long a holder may be silent before another takes its place."""
RENEW_S = LEASE_S / 4


class StoreLease:
    """The right of one holder to a store, renewed by writing; clocks of different machines are not compared."""

    def __init__(self, store: Store, holder: str) -> None:
        self._store = store
        self._holder = holder

    def take(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Hold the store; waits `LEASE_S` if somebody else did, who may have died.

        Raises:
            ClusterError: the other one lives.
        """
        before = self._read()
        if before is not None and before[0] != self._holder:
            say(f"{self._store.uri} was another endpoint's; {LEASE_S:g} s are waited, to see whether it lives")
            time.sleep(LEASE_S)
            if self._read() not in (None, before):
                raise ClusterError(
                    f"another endpoint uses store.uri {self._store.uri}; end it, or give this one a place of its own"
                )
        self._write()

    def renew(self) -> bool:
        """Say that the holder lives; False if another one has taken its place."""
        found = self._read()
        if found is not None and found[0] != self._holder:
            return False
        self._write()
        return True

    def free(self) -> None:
        """Let the next one take it at once."""
        found = self._read()
        if found is not None and found[0] == self._holder:
            self._store.delete(KEY)

    def _write(self) -> None:
        self._store.put(KEY, json.dumps({"holder": self._holder, "beat": secrets.token_hex(8)}).encode())

    def _read(self) -> tuple[str, str] | None:
        """The holder and its last beat; None if there is none, or none that can be read."""
        try:
            content = json.loads(self._store.get(KEY))
            return str(content["holder"]), str(content["beat"])
        except (NotFound, ValueError, KeyError, TypeError):
            return None
