"""What the dispatcher does once the pool has failed."""

import asyncio

from actors.dispatcher import Dispatcher
from actors.gang import Gang, Outcome
from actors.job import Job
from actors.member import Member
from actors.order import Answer, Order
from actors.spec import PoolSpec
from cluster.errors import ClusterError, GangError

SPEC = PoolSpec(model="none", workers=1, device="cpu", dtype="float32", threads_per_worker=1, simulated_s=0.0)


def test_a_video_that_loses_its_gang_after_the_pool_has_failed_is_answered_with_the_reason() -> None:
    async def scene() -> tuple[Answer, int, int]:
        dispatcher = Dispatcher(SPEC, keeper=None)
        order = Order(ticket="a", key="a", width=1, steps=10, title="a", payload=b"", resolution="64p", attempts=3)
        job = Job(order=order, owner="driver")
        gang = Gang((Member(index=0, domain=0, bundle=0, handle=None),), 1, 10.0)
        dispatcher.fail("the budget is spent")
        dispatcher._put(job, gang, Outcome(error=GangError("rank 0 died"), after="replace"), "rank")
        return await asyncio.wait_for(job.answer, 1), len(dispatcher.queue), sum(dispatcher.tally.retries.values())

    answer, waiting, retries = asyncio.run(scene())
    assert isinstance(answer.error, ClusterError)
    assert str(answer.error) == "the budget is spent"
    assert (waiting, retries) == (0, 0)
