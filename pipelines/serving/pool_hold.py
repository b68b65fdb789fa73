"""The clerk's hold on the gang pool, which may fail and be started again at any time."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from actors.status import PoolStatus
from cluster.errors import ClusterError, PabcastError

log = logging.getLogger("pabcast.clerk")

RETRY_S = 1.0
"""Between two tries to reach the pool or the store."""
_STATUS_TIMEOUT_S = 2.0


class PoolHold:
    """A pool of `spec`, had when it is needed; all of it on one event loop."""

    def __init__(self, spec: PoolSpec, open_keys: Callable[[], list[str]]) -> None:
        """`open_keys` are those of what is to be made: what a former clerk has a pool make of them is cancelled."""
        self._spec = spec
        self._open_keys = open_keys
        self._pool: PoolClient | None = None
        self._changing = asyncio.Lock()

    async def get(self) -> PoolClient:
        """The pool; joined or started if there is none; `ClusterError` if it cannot be had."""
        async with self._changing:
            if self._pool is None:
                pool = await asyncio.to_thread(PoolClient.connect, self._spec)
                for key in self._open_keys():
                    await asyncio.to_thread(pool.cancel, key)
                self._pool = pool
            return self._pool

    async def have(self) -> None:
        """Start the pool before the first request needs it."""
        while True:
            try:
                await self.get()
                return
            except ClusterError as error:
                log.warning("no pool yet: %s", error)
                await asyncio.sleep(RETRY_S)

    async def drop(self) -> None:
        """Forget a pool that failed, or that is not needed any more; the next `get` has another."""
        async with self._changing:
            pool, self._pool = self._pool, None
            if pool is not None:
                with contextlib.suppress(PabcastError):
                    await asyncio.to_thread(pool.close)

    def close(self) -> None:
        """Leave it, where no event loop runs any more."""
        if self._pool is not None:
            self._pool.close()

    async def status(self) -> PoolStatus | None:
        """The pool at this moment, if there is one that answers."""
        if self._pool is None:
            return None
        try:
            return await asyncio.to_thread(self._pool.status, _STATUS_TIMEOUT_S)
        except (PabcastError, TimeoutError, OSError):
            return None
