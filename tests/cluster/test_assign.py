from cluster.assign import BYPASS_LIMIT, IdleGang, Waiting, assign


def waiting(*widths: int) -> list[Waiting]:
    return [Waiting(ticket=str(place), width=width) for place, width in enumerate(widths)]


def test_a_request_starts_on_an_idle_gang_of_its_width() -> None:
    decision = assign(waiting(2), [IdleGang(gang=7, width=2), IdleGang(gang=8, width=1)], 2)
    assert [(start.ticket, start.gang, start.dissolve) for start in decision.starts] == [("0", 7, ())]
    assert decision.starts[0].reason == "gang 7 has width 2"
    assert decision.queue == ()


def test_a_request_that_fits_a_gang_goes_before_one_that_needs_reshaping() -> None:
    decision = assign(waiting(4, 2), [IdleGang(gang=1, width=2)], 2)
    assert [(start.ticket, start.gang) for start in decision.starts] == [("1", 1)]
    assert decision.queue == (Waiting(ticket="0", width=4, bypassed=1),)


def test_free_workers_form_a_gang_before_any_is_dissolved() -> None:
    (start,) = assign(waiting(2), [IdleGang(gang=1, width=1), IdleGang(gang=2, width=1)], 2).starts
    assert (start.gang, start.dissolve, start.free_workers) == (None, (), 2)


def test_idle_gangs_dissolve_for_a_wider_one() -> None:
    (start,) = assign(waiting(4), [IdleGang(gang=1, width=1), IdleGang(gang=2, width=2)], 1).starts
    assert (sorted(start.dissolve), start.free_workers) == ([1, 2], 1)


def test_the_smallest_gang_that_suffices_is_dissolved() -> None:
    idle = [IdleGang(gang=1, width=4), IdleGang(gang=2, width=2), IdleGang(gang=3, width=1)]
    (start,) = assign(waiting(3), idle, 1).starts
    assert start.dissolve == (2,)


def test_what_a_dissolved_gang_leaves_over_forms_another() -> None:
    starts = assign(waiting(1, 2), [IdleGang(gang=1, width=4)], 0).starts
    assert [(start.ticket, start.dissolve, start.free_workers) for start in starts] == [("0", (1,), 0), ("1", (), 2)]


def test_a_request_that_does_not_fit_now_lets_a_smaller_one_pass() -> None:
    decision = assign(waiting(4, 1), [], 2)
    assert [start.ticket for start in decision.starts] == ["1"]
    assert decision.queue[0].bypassed == 1


def test_nothing_passes_a_request_that_is_due() -> None:
    queue = [Waiting(ticket="wide", width=4, bypassed=BYPASS_LIMIT), Waiting(ticket="narrow", width=1)]
    decision = assign(queue, [IdleGang(gang=1, width=1)], 2)
    assert decision.starts == ()
    assert decision.reason == "3 idle workers are kept for a request of width 4 that 8 have passed"


def test_a_due_request_starts_as_soon_as_the_workers_are_idle_and_the_next_follow() -> None:
    queue = [Waiting(ticket="wide", width=3, bypassed=BYPASS_LIMIT), Waiting(ticket="narrow", width=1)]
    starts = assign(queue, [IdleGang(gang=1, width=1)], 3).starts
    assert [(start.ticket, start.gang, start.dissolve, start.free_workers) for start in starts] == [
        ("wide", None, (), 3),
        ("narrow", 1, (), 0),
    ]


def test_passes_within_one_decision_count_up_to_the_limit() -> None:
    decision = assign(waiting(4, *[1] * 20), [], 3, bypass_limit=2)
    assert [start.ticket for start in decision.starts] == ["1", "2"]
    assert decision.queue[0].bypassed == 2


class Simulation:
    """Workers that make every video in one tick per unit of its length."""

    def __init__(self, widths: list[int], workers: int) -> None:
        self.queue = waiting(*widths)
        self.free = workers
        self.gangs: dict[int, int] = {}
        self.until: dict[int, int] = {}
        self.order: list[str] = []
        self.reshapings = 0

    def run(self) -> None:
        tick = 0
        while self.queue or self.until:
            self.until = {gang: end for gang, end in self.until.items() if end > tick}
            idle = [IdleGang(gang=gang, width=width) for gang, width in self.gangs.items() if gang not in self.until]
            decision = assign(self.queue, idle, self.free)
            self.queue = list(decision.queue)
            for start in decision.starts:
                gang = start.gang
                if gang is None:
                    self.reshapings += 1
                    gang = self.reshapings
                    self.free += sum(self.gangs.pop(old) for old in start.dissolve) - start.width
                    self.gangs[gang] = start.width
                self.order.append(start.ticket)
                self.until[gang] = tick + 1 + int(start.ticket) % 3
            assert self.free >= 0
            tick += 1


def test_a_mixed_queue_is_worked_off_with_few_reshapings() -> None:
    simulation = Simulation([1, 2] * 100, workers=2)
    simulation.run()
    assert sorted(simulation.order, key=int) == [str(place) for place in range(200)]
    assert simulation.reshapings <= 200 // BYPASS_LIMIT


def test_no_request_is_passed_much_more_often_than_the_limit_of_the_head() -> None:
    widths = [4 if place % 10 == 5 else 1 for place in range(300)]
    simulation = Simulation(widths, workers=4)
    simulation.run()
    for place, ticket in enumerate(simulation.order):
        if widths[int(ticket)] == 4:
            passed_by = sum(int(earlier) > int(ticket) for earlier in simulation.order[:place])
            assert passed_by <= BYPASS_LIMIT
