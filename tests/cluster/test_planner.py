from collections import Counter

import pytest

from cluster.plan import BYPASS_LIMIT, DomainState, Head, IdleGang, Line, Priority, RunningGang, Shares, Start, Taking
from cluster.planner import SHARES_OVER, plan

FASTER_WIDE = {1: 10.0, 2: 6.0, 4: 4.0}


def lines(
    *widths: int, late: int = 0, priority: Priority = "offline", seconds: dict[int, float] | None = None
) -> list[Line]:
    heads: dict[int, list[Head]] = {}
    for place, width in enumerate(widths):
        heads.setdefault(width, []).append(Head(ticket=str(place), arrival=place, late=late, seconds=seconds or {}))
    return [Line(priority=priority, width=width, waiting=len(of), heads=tuple(of)) for width, of in heads.items()]


def domain(free: int = 0, name: int = 1, running: tuple[RunningGang, ...] = (), **idle: int) -> DomainState:
    gangs = tuple(IdleGang(gang=int(gang[1:]), width=width) for gang, width in idle.items())
    return DomainState(name=name, free=free, idle=gangs, running=running)


def tickets(starts: tuple[Start, ...]) -> list[str]:
    return [start.ticket for start in starts]


def test_a_request_starts_on_an_idle_gang_of_its_width() -> None:
    (start,) = plan(lines(2), [domain(2, g7=2, g8=1)]).starts
    assert (start.ticket, start.on) == ("0", 7)
    assert start.reason == "gang 7 has width 2"


def test_a_request_that_fits_a_gang_goes_before_one_that_needs_reshaping() -> None:
    decision = plan(lines(4, 2), [domain(2, g1=2)])
    assert [(start.ticket, start.on) for start in decision.starts] == [("1", 1)]
    assert decision.reason == "1 wait; the first needs 4 workers and 2 are idle"


def test_free_workers_form_a_gang_before_any_is_dissolved() -> None:
    (start,) = plan(lines(2), [domain(2, g1=1, g2=1)]).starts
    assert start.on == Taking(domain=1, width=2, dissolve=(), free_workers=2)


def test_the_smallest_gang_that_suffices_is_dissolved() -> None:
    (start,) = plan(lines(3), [domain(1, g1=4, g2=2, g3=1)]).starts
    assert start.on == Taking(domain=1, width=3, dissolve=(2,), free_workers=1)


def test_what_a_dissolved_gang_leaves_over_forms_another() -> None:
    first, second = plan(lines(1, 2), [domain(g1=4)]).starts
    assert first.on == Taking(domain=1, width=1, dissolve=(1,), free_workers=0)
    assert second.on == Taking(domain=1, width=2, dissolve=(), free_workers=2)


def test_nothing_passes_a_request_that_is_due() -> None:
    decision = plan(lines(4, 1, late=BYPASS_LIMIT), [domain(2, g1=1, running=(RunningGang(gang=9, width=1),))])
    assert decision.starts == ()
    assert decision.reason == "3 idle workers are kept for a request of width 4 that is 8 starts late"


def test_a_due_request_keeps_the_workers_of_one_domain_only() -> None:
    busy = (RunningGang(gang=9, width=2),)
    decision = plan(lines(4, 1, late=BYPASS_LIMIT), [domain(2, running=busy), domain(1, name=2, running=busy)])
    assert tickets(decision.starts) == ["1"]
    assert isinstance(decision.starts[0].on, Taking)
    assert decision.starts[0].on.domain == 2


def test_a_gang_does_not_reach_beyond_its_domain() -> None:
    assert plan(lines(4), [domain(3), domain(3, name=2)]).starts == ()


def test_the_fullest_domain_that_suffices_is_taken() -> None:
    (start,) = plan(lines(1), [domain(4), domain(2, name=2)]).starts
    assert isinstance(start.on, Taking)
    assert start.on.domain == 2


def test_online_goes_before_offline_whenever_it_came() -> None:
    decision = plan([*lines(1), *lines(1, priority="online")], [domain(1)])
    assert len(decision.starts) == 1
    assert decision.served["online"] > 0


def test_offline_does_not_take_the_workers_that_an_online_request_waits_for() -> None:
    busy = (RunningGang(gang=9, width=2),)
    assert plan([*lines(1), *lines(4, priority="online")], [domain(2, running=busy)]).starts == ()


def test_offline_gets_its_share_while_online_waits() -> None:
    offline = Line(priority="offline", width=1, waiting=1, heads=(Head(ticket="off", arrival=1),))
    online = Line(priority="online", width=1, waiting=1, heads=(Head(ticket="on", arrival=0),))
    served: dict[Priority, float] = {}
    counts: Counter[str] = Counter()
    for _ in range(100):
        decision = plan([offline, online], [domain(1)], Shares(offline=0.2), served)
        served = dict(decision.served)
        counts.update(tickets(decision.starts))
    assert counts["off"] == 20
    assert counts["on"] == 80


def share_of_offline(online_s: dict[int, float], offline_s: dict[int, float], shares: Shares) -> float:
    """Of 400 starts on one worker while both classes wait."""
    online = Line(priority="online", width=1, waiting=1, heads=(Head(ticket="on", arrival=0, seconds=online_s),))
    offline = Line(priority="offline", width=1, waiting=1, heads=(Head(ticket="off", arrival=1, seconds=offline_s),))
    served: dict[Priority, float] = {}
    starts: list[str] = []
    for _ in range(400):
        decision = plan([online, offline], [domain(1)], shares, served)
        served = dict(decision.served)
        starts += tickets(decision.starts)
    return starts.count("off") / len(starts)


@pytest.mark.parametrize(("online_s", "offline_s"), [({}, {1: 100.0}), ({1: 100.0}, {}), ({}, {})])
def test_a_share_is_kept_though_one_class_is_not_predicted(
    online_s: dict[int, float], offline_s: dict[int, float]
) -> None:
    assert share_of_offline(online_s, offline_s, Shares(offline=0.2)) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("ahead", ["online", "offline"])
def test_what_a_class_had_long_ago_is_no_debt(ahead: Priority) -> None:
    waiting = lines(1, priority="online") + lines(1)
    served: dict[Priority, float] = {"online": 0.0, "offline": 0.0, ahead: 1e6}
    before, waits = dict(served), 0
    while served[ahead] <= before[ahead]:
        decision = plan(waiting, [domain(1)], Shares(offline=0.1), served)
        before, served = served, dict(decision.served)
        waits += 1
        assert waits <= SHARES_OVER + 3
    assert waits > SHARES_OVER / 2


def test_a_request_that_can_never_start_takes_nothing_from_the_other_class() -> None:
    waiting = lines(1, priority="online") + lines(9, late=BYPASS_LIMIT)
    decision = plan(waiting, [domain(8)], Shares(offline=0.1))
    assert len(decision.starts) == 1
    assert decision.served == {"online": 0.0, "offline": 0.0}


def test_offline_never_holds_the_workers_that_are_online_s() -> None:
    decision = plan(lines(1, 1, 1), [domain(3)], Shares(offline_workers=2))
    assert tickets(decision.starts) == ["0", "1"]


def test_what_offline_may_hold_is_kept_for_a_request_that_is_due_in_whatever_domain() -> None:
    waiting, shares = lines(2, 1, late=BYPASS_LIMIT), Shares(offline_workers=4)
    held = [RunningGang(gang=gang, width=1, priority="offline") for gang in (11, 12, 13)]
    elsewhere = domain(2, 2, g1=1, g2=1)
    assert plan(waiting, [domain(1, running=tuple(held)), elsewhere], shares).starts == ()
    assert tickets(plan(waiting, [domain(2, running=tuple(held[1:])), elsewhere], shares).starts) == ["0"]
    assert tickets(plan(lines(5, 1, late=BYPASS_LIMIT), [domain(8)], shares).starts) == ["1"]


def test_few_requests_get_wider_gangs_when_that_ends_them_sooner() -> None:
    assert [start.width for start in plan(lines(1, 1, seconds=FASTER_WIDE), [domain(4)]).starts] == [2, 2]
    (start,) = plan(lines(1, seconds=FASTER_WIDE), [domain(4)]).starts
    assert start.width == 4
    assert start.reason == "4 free workers; 1 wait for 4: 4.0 s instead of 10.0 s"


def test_as_many_requests_as_workers_stay_as_narrow_as_they_are() -> None:
    assert [start.width for start in plan(lines(1, 1, 1, 1, seconds=FASTER_WIDE), [domain(4)]).starts] == [1] * 4
    assert [start.width for start in plan(lines(1, seconds={1: 4.0, 4: 3.9}), [domain(4)]).starts] == [1]


def test_the_running_video_with_the_most_left_moves_to_the_idle_workers() -> None:
    running = (
        RunningGang(gang=1, width=1, left_s={1: 5.0, 2: 2.9}),
        RunningGang(gang=2, width=1, left_s={1: 30.0, 2: 16.0, 3: 11.0, 4: 9.0}),
    )
    (widen,) = plan([], [domain(1, g5=1, running=running)]).widens
    assert (widen.gang, widen.width) == (2, 3)
    assert widen.taking == Taking(domain=1, width=2, dissolve=(5,), free_workers=1)
    assert widen.reason == "nothing waits: 11.0 s left on 3 workers instead of 30.0 s"


def test_nothing_moves_for_a_small_gain_or_while_something_waits() -> None:
    running = (RunningGang(gang=1, width=1, left_s={1: 1.8, 2: 0.9}),)
    assert plan([], [domain(3, running=running)]).widens == ()
    running = (RunningGang(gang=1, width=1, left_s={1: 30.0, 2: 16.0}),)
    assert plan(lines(4), [domain(3, running=running)]).widens == ()


class Simulation:
    """Workers that make every video in one tick per unit of its length."""

    def __init__(self, widths: list[int], workers: int) -> None:
        self.queue = [(place, width, place + BYPASS_LIMIT) for place, width in enumerate(widths)]
        self.free = workers
        self.gangs: dict[int, int] = {}
        self.until: dict[int, int] = {}
        self.order: list[int] = []
        self.reshapings = 0

    def lines(self) -> list[Line]:
        by_width: dict[int, list[Head]] = {}
        for place, width, due_at in self.queue:
            late = len(self.order) - due_at + BYPASS_LIMIT
            by_width.setdefault(width, []).append(Head(ticket=str(place), arrival=place, late=late))
        return [Line(width=width, waiting=len(heads), heads=tuple(heads[:4])) for width, heads in by_width.items()]

    def run(self) -> None:
        tick = 0
        while self.queue or self.until:
            self.until = {gang: end for gang, end in self.until.items() if end > tick}
            idle = tuple(
                IdleGang(gang=gang, width=width) for gang, width in self.gangs.items() if gang not in self.until
            )
            running = tuple(RunningGang(gang=gang, width=self.gangs[gang]) for gang in self.until)
            state = DomainState(name=1, free=self.free, idle=idle, running=running)
            for start in plan(self.lines(), [state]).starts:
                gang = start.on
                if isinstance(gang, Taking):
                    self.reshapings += 1
                    self.free += sum(self.gangs.pop(old) for old in gang.dissolve) - start.width
                    gang = self.reshapings
                    self.gangs[gang] = start.width
                self.order.append(int(start.ticket))
                self.queue = [waiting for waiting in self.queue if waiting[0] != int(start.ticket)]
                self.until[gang] = tick + 1 + int(start.ticket) % 3
            assert self.free >= 0
            tick += 1


def test_a_mixed_queue_is_worked_off_with_few_reshapings() -> None:
    simulation = Simulation([1, 2] * 100, workers=2)
    simulation.run()
    assert sorted(simulation.order) == list(range(200))
    assert simulation.reshapings <= 2 * 200 // BYPASS_LIMIT


def test_no_request_starts_much_later_than_its_turn() -> None:
    widths = [4 if place % 10 == 5 else 1 for place in range(300)]
    simulation = Simulation(widths, workers=4)
    simulation.run()
    for turn, place in enumerate(simulation.order):
        if widths[place] == 4:
            assert turn - place <= BYPASS_LIMIT
