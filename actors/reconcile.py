"""What a pool that starts again takes back from the last life of its process."""

import asyncio
import logging
import time
from collections import defaultdict
from typing import Any

import ray

from actors.dispatcher import Dispatcher
from actors.engine.snapshot import Snapshot, SnapshotPart, join_parts
from actors.worker import About

log = logging.getLogger("pabcast.pool")

ANSWER_TIMEOUT_S = 10.0
LEAVE_TIMEOUT_S = 60.0
"""How long a run may take to its next full step."""


async def reconcile(keeper: Any, dispatcher: Dispatcher) -> dict[str, Snapshot]:
    """Take the domains back, with their models, and stop what they run, since nobody waits for it any more.

    Returns:
        The last snapshot of every run by its ticket, to go on from when it is submitted again.
    """
    holdings = await keeper.inventory.remote()
    dispatcher.domains.spent_before(await keeper.closed_seconds.remote())
    handles = [handle for holding in holdings for handle in holding.handles.values()]
    abouts = await asyncio.gather(*(_ask(handle.about) for handle in handles))
    runs: dict[tuple[str, int, int], list[Any]] = defaultdict(list)
    for handle, about in zip(handles, abouts, strict=True):
        if isinstance(about, About):
            dispatcher.generation = max(dispatcher.generation, about.generation)
            if about.ticket:
                runs[about.ticket, about.generation, about.width].append(handle)
    found = await asyncio.gather(*(_salvage(ticket, width, ranks) for (ticket, _, width), ranks in runs.items()))
    salvaged = {ticket: snapshot for (ticket, _, _), snapshot in zip(runs, found, strict=True) if snapshot}
    for holding in holdings:
        if not holding.placed:
            dispatcher.domains.bring_up(holding.domain, holding.market)
            continue
        lost = await dispatcher.domains.adopt(holding)
        dispatcher.domains.replace(lost)
    log.warning("the pool started again: %d domains, %d runs to go on with", len(holdings), len(salvaged))
    return salvaged


async def _salvage(ticket: str, width: int, ranks: list[Any]) -> Snapshot | None:
    """Make a run leave at its next full step, and take what its ranks have then."""
    begun = [step for step in await asyncio.gather(*(_ask(rank.hold, ticket) for rank in ranks)) if step is not None]
    if len(begun) == width:
        await asyncio.gather(*(_ask(rank.hand_over_after, ticket, max(begun)) for rank in ranks))
        await asyncio.gather(*(_end(rank) for rank in ranks))
    parts = await asyncio.gather(*(_ask(rank.snapshot) for rank in ranks))
    for rank in ranks if len(begun) < width else ():
        # They wait in a collective for a rank that is gone.
        ray.kill(rank, no_restart=True)
    return join_parts(part for part in parts if isinstance(part, SnapshotPart))


async def _end(rank: Any) -> None:
    """Wait until a rank has left its run; not for ever, as it may hang."""
    deadline = time.monotonic() + LEAVE_TIMEOUT_S
    while time.monotonic() < deadline:
        about = await _ask(rank.about)
        if about is None or not about.ticket:
            return
        await asyncio.sleep(0.1)
    ray.kill(rank, no_restart=True)


async def _ask(method: Any, *arguments: object) -> Any:
    """The answer of a worker; None if it has none."""
    try:
        return await asyncio.wait_for(method.remote(*arguments), ANSWER_TIMEOUT_S)
    except (TimeoutError, ray.exceptions.RayError):
        return None
