from actors.busy_clock import BusyClock


def test_a_clock_that_saw_no_lease_is_at_zero() -> None:
    clock = BusyClock()
    assert (clock.busy_seconds(now=5), clock.span_seconds(now=5)) == (0, 0)


def test_busy_seconds_count_every_worker_of_a_gang() -> None:
    clock = BusyClock()
    clock.lease(gang=1, width=2, now=10)
    clock.lease(gang=2, width=1, now=12)
    clock.release(gang=1, now=13)
    assert clock.busy_seconds(now=14) == 2 * 3 + 1 * 2


def test_the_span_ends_with_the_last_release_and_goes_on_while_a_lease_does() -> None:
    clock = BusyClock()
    clock.size(3, now=0)
    clock.lease(gang=1, width=2, now=10)
    assert clock.span_seconds(now=14) == 3 * 4
    clock.release(gang=1, now=15)
    assert clock.span_seconds(now=99) == 3 * 5


def test_workers_that_come_and_go_count_while_they_are_there() -> None:
    clock = BusyClock()
    clock.size(2, now=0)
    clock.lease(gang=1, width=2, now=10)
    clock.size(6, now=12)
    clock.release(gang=1, now=15)
    assert clock.span_seconds(now=99) == 2 * 2 + 6 * 3
