"""Questions about open jobs, put together: while an answer is on its way, whoever asks is in the next question."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from pipelines.serving.queue import Look


class Looks:
    """However many ask, one question is on its way at a time; none is answered from before it was asked."""

    def __init__(self, ask: Callable[[list[str]], Awaitable[Mapping[str, Look]]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._wanted: set[str] = set()
        self._next: asyncio.Future[Mapping[str, Look]] | None = None

    async def of(self, job_ids: Iterable[str]) -> dict[str, Look]:
        """Those of the jobs that are open."""
        wanted = set(job_ids)
        if not wanted:
            return {}
        self._wanted |= wanted
        if self._next is None:
            self._next = asyncio.ensure_future(self._ask_together())
        # One who goes away takes nobody's answer along.
        found = await asyncio.shield(self._next)
        return {job_id: found[job_id] for job_id in wanted if job_id in found}

    async def _ask_together(self) -> Mapping[str, Look]:
        async with self._turn:
            wanted, self._wanted, self._next = self._wanted, set(), None
            return await self._ask(sorted(wanted))
