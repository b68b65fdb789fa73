import asyncio
from collections.abc import Callable

import numpy as np

from actors.engine.snapshot import Snapshot
from actors.gang import Outcome
from actors.job import LOSS_LIMIT, Job
from actors.order import Order
from actors.queue import JobQueue
from cluster.errors import Cancelled, GangError, HandedOver, RequestError
from cluster.plan import Priority


def job(ticket: str, width: int = 1, priority: Priority = "offline", attempts: int = 1) -> Job:
    order = Order(
        ticket=ticket,
        key=ticket,
        width=width,
        steps=10,
        title=ticket,
        payload=b"",
        resolution="64p",
        priority=priority,
        attempts=attempts,
    )
    return Job(order=order, owner="driver")


def with_a_loop(scene: Callable[[], None]) -> None:
    async def run() -> None:
        scene()

    asyncio.run(run())


def snapshot(step: int) -> Snapshot:
    return Snapshot(step=step, latents=np.zeros((1, 1, 1, 1, 1), dtype=np.float32))


def lost(step: int | None = None) -> Outcome:
    return Outcome(error=GangError("rank 0 died"), after="replace", snapshot=None if step is None else snapshot(step))


def test_lines_tell_the_planner_the_first_of_each_class_and_width() -> None:
    def scene() -> None:
        queue = JobQueue()
        for ticket, width in (("a", 1), ("b", 2), ("c", 1), ("d", 1)):
            queue.put(job(ticket, width))
        queue.put(job("e", 1, "online"))
        lines = {(line.priority, line.width): line for line in queue.lines(2)}
        assert [head.ticket for head in lines["offline", 1].heads] == ["a", "c"]
        assert lines["offline", 1].waiting == 3
        assert [head.ticket for head in lines["online", 1].heads] == ["e"]
        assert len(queue) == 5

    with_a_loop(scene)


def test_a_request_is_late_by_the_starts_that_passed_its_turn() -> None:
    def scene() -> None:
        queue = JobQueue()
        queue.put(job("wide", 4))
        for place in range(5):
            queue.put(job(f"narrow{place}"))
        for place in range(3):
            queue.take(f"narrow{place}")
        (wide,) = (line for line in queue.lines(1) if line.width == 4)
        (narrow,) = (line for line in queue.lines(1) if line.width == 1)
        assert wide.heads[0].late == 3
        assert narrow.heads[0].late == -1

    with_a_loop(scene)


def test_a_request_that_lost_its_gang_is_first_again() -> None:
    def scene() -> None:
        queue = JobQueue()
        queue.put(job("a"))
        queue.put(job("b"))
        queue.put_back(queue.take("a"))
        assert [head.ticket for head in queue.lines(9)[0].heads] == ["a", "b"]
        assert [gone.order.ticket for gone in queue.remove(lambda job: job.order.ticket == "a")] == ["a"]
        assert len(queue) == 1

    with_a_loop(scene)


def test_a_request_that_loses_ranks_without_getting_further_is_given_up() -> None:
    def scene() -> None:
        poisoned = job("poisoned", attempts=3)
        assert [poisoned.try_again(lost(), "rank") for _ in range(3)] == [True, True, False]

    with_a_loop(scene)


def test_progress_forgives_and_what_the_cluster_does_is_not_the_request_s_fault() -> None:
    def scene() -> None:
        unlucky = job("unlucky")
        assert unlucky.try_again(lost(4), "rank")
        assert unlucky.order.resume is not None
        assert unlucky.order.resume.step == 4
        assert all(unlucky.try_again(lost(), cause) for cause in ("node", "drain", "forming", "pool"))
        assert unlucky.try_again(Outcome(error=HandedOver("left"), snapshot=snapshot(6)), "drain")
        assert not unlucky.try_again(lost(4), "rank")

    with_a_loop(scene)


def test_no_request_is_tried_for_ever() -> None:
    def scene() -> None:
        cursed = job("cursed")
        assert sum(cursed.try_again(lost(), "node") for _ in range(2 * LOSS_LIMIT)) == LOSS_LIMIT

    with_a_loop(scene)


def test_a_fault_of_the_request_itself_is_never_tried_again() -> None:
    def scene() -> None:
        assert not job("a", attempts=3).try_again(Outcome(error=RequestError("NaN")), "rank")
        assert not job("a", attempts=3).try_again(Outcome(error=Cancelled("stopped")), "rank")

    with_a_loop(scene)
