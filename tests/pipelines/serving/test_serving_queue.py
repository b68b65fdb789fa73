"""The queue of open jobs: order, whose they are, and how they stand."""

import pytest

from pipelines.serving.job import VideoJob
from pipelines.serving.queue import Entry, Look, OpenQueue
from tests.pipelines.samples import request


def entry(number: int = 0, *, owner: str = "ann", seconds: float = 10.0, width: int = 1, steps: int = 4) -> Entry:
    job = VideoJob.new(owner, request(number, steps=steps), 60.0)
    return Entry(job=job, seconds=seconds, width=width, reason=f"reason {number}")


def queue_of(*entries: Entry) -> OpenQueue:
    queue = OpenQueue()
    for one in entries:
        queue.add(one)
    return queue


def look(queue: OpenQueue, one: Entry, workers: int = 2) -> Look:
    found = queue.look(one.job.id, workers)
    assert found is not None
    return found


def test_jobs_stay_in_the_order_in_which_they_came() -> None:
    first, second, third = entries = [entry(number) for number in range(3)]
    queue = queue_of(*entries)
    assert list(queue) == entries
    assert queue.remove(second.job.id) is second
    assert list(queue) == [first, third]
    queue.add(second)
    assert list(queue) == [first, third, second]
    assert (len(queue), queue.get(third.job.id)) == (3, third)


def test_a_job_that_is_not_open_is_nothing() -> None:
    queue = queue_of(entry())
    assert (queue.get("x"), queue.remove("x"), queue.look("x", 2)) == (None, None, None)
    assert len(queue) == 1


def test_an_empty_queue_holds_nothing() -> None:
    queue = OpenQueue()
    assert (len(queue), list(queue), queue.of("ann")) == (0, [], 0)


def test_jobs_are_counted_by_their_owner() -> None:
    queue = queue_of(entry(0), entry(1, owner="bob"), entry(2))
    assert [queue.of(owner) for owner in ("ann", "bob", "eve")] == [2, 1, 0]


def test_a_queue_may_change_while_it_is_looped_over() -> None:
    queue = queue_of(*(entry(number) for number in range(3)))
    for one in queue:
        queue.remove(one.job.id)
    assert len(queue) == 0


def test_a_waiting_job_has_its_position_among_those_that_wait() -> None:
    entries = [entry(number) for number in range(4)]
    queue = queue_of(*entries)
    entries[0].step = 0
    entries[2].step = 3
    assert [look(queue, one).queue_position for one in entries] == [None, 0, None, 1]
    assert [look(queue, one).status for one in entries] == ["in_progress", "queued"] * 2


@pytest.mark.parametrize(("step", "left"), [(None, 10.0), (0, 10.0), (1, 7.5), (3, 2.5), (4, 0.0), (9, 0.0)])
def test_what_is_left_of_a_job_is_in_proportion_to_its_steps(step: int | None, left: float) -> None:
    one = entry()
    one.step = step
    assert one.left_s == pytest.approx(left)
    assert look(queue_of(one), one).eta_s == pytest.approx(left)


@pytest.mark.parametrize(("workers", "eta"), [(1, 4 + 2 * 8 + 6), (2, (4 + 2 * 8) / 2 + 6), (4, (4 + 2 * 8) / 4 + 6)])
def test_a_waiting_job_waits_for_what_is_ahead_of_it_shared_among_the_workers(workers: int, eta: float) -> None:
    running, ahead, one, behind = entry(0, seconds=8), entry(1, seconds=8, width=2), entry(2, seconds=6), entry(3)
    running.step = 2
    assert look(queue_of(running, ahead, one, behind), one, workers).eta_s == pytest.approx(eta)


def test_all_ends_are_predicted_in_their_order() -> None:
    running, ahead, behind = entry(0, seconds=8), entry(1, seconds=8, width=2), entry(2, seconds=6)
    running.step = 2
    ends_s = queue_of(running, ahead, behind).ends_in_s(2)
    assert ends_s == pytest.approx({running.job.id: 4, ahead.job.id: 2 + 8, behind.job.id: 2 + 8 + 6})


def test_a_running_job_does_not_wait_for_others() -> None:
    ahead, one = entry(0, seconds=100), entry(1, seconds=8)
    one.step = 1
    assert look(queue_of(ahead, one), one).eta_s == pytest.approx(6)


def test_a_look_tells_steps_gang_and_reason() -> None:
    one = entry(7, width=2, steps=30)
    assert look(queue_of(one), one) == Look(
        status="queued", step=0, steps=30, queue_position=0, eta_s=10.0, gang=2, reason="reason 7", preview=None
    )
    one.step, one.preview = 12, "data:"
    seen = look(queue_of(one), one)
    assert (seen.status, seen.step, seen.steps, seen.queue_position) == ("in_progress", 12, 30, None)
    assert seen.preview == "data:"
