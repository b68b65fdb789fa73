"""A request that kills the process that reads it."""

import asyncio
import os
import time

from actors.pool_client import PoolClient
from cluster.errors import GangError
from tests.actors.conftest import MakeRequest


class Poison:
    """Ends the process that unpickles it, as a bug in native code would."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (9,)


def test_a_prompt_that_kills_its_rank_is_given_up_and_the_others_are_made(
    pool: PoolClient, make_request: MakeRequest
) -> None:
    before = pool.status()

    async def scene() -> list[object]:
        poisoned = pool.submit(make_request(negative_prompt=Poison()), key="poisoned", attempts=2)
        others = [pool.submit(make_request(seed=seed), attempts=1) for seed in range(4)]
        return list(await asyncio.gather(poisoned, *others, return_exceptions=True))

    poisoned, *others = asyncio.run(scene())
    assert isinstance(poisoned, GangError)
    assert str(poisoned).startswith("its gang failed 2 times, the last time so: rank 0 of 1")
    assert not [other for other in others if isinstance(other, BaseException)]
    after = pool.status()
    while {"starting", "loading"} & {member.state for member in pool.status().members}:
        time.sleep(0.1)  # the other tests count its workers
    assert after.retries.get("rank", 0) == before.retries.get("rank", 0) + 1
