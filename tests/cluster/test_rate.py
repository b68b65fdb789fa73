"""Fitted rates against known ones."""

import pytest

from cluster.rate import Rate, Timing, fit_rate
from cluster.workload import SiteWork

WORKS = [
    SiteWork(projections=p, core=c, elements=e)
    for p, c, e in ((10**6, 10**5, 10**3), (10**9, 10**8, 10**5), (8 * 10**9, 6 * 10**9, 10**6), (10**10, 10**8, 10**6))
]


def timed(rate: Rate, works: list[SiteWork]) -> list[Timing]:
    return [Timing(work=work, seconds=rate.seconds(work)) for work in works]


@pytest.mark.parametrize(
    "rate",
    [
        Rate(per_projection_s=1e-12),
        Rate(per_projection_s=1e-12, per_core_s=2e-12),
        Rate(floor_s=1e-4, per_projection_s=1e-12, per_core_s=3e-12),
    ],
)
def test_what_was_measured_without_error_is_predicted_without_error(rate):
    found = fit_rate(timed(rate, WORKS))
    unseen = SiteWork(projections=3 * 10**9, core=10**9, elements=4 * 10**5)
    assert found.seconds(unseen) == pytest.approx(rate.seconds(unseen), rel=1e-6)


def test_where_launching_is_not_overlapped_a_start_is_found_and_no_floor():
    rate = Rate(start_s=1e-3, per_projection_s=1e-12, per_core_s=2e-12)
    found = fit_rate(timed(rate, WORKS), overlapped=False)
    unseen = SiteWork(projections=3 * 10**9, core=10**9, elements=4 * 10**5)
    assert found.seconds(unseen) == pytest.approx(rate.seconds(unseen), rel=1e-6)
    assert found.start_s == pytest.approx(1e-3, rel=1e-3)
    assert found.floor_s == 0


def test_no_coefficient_is_below_zero_even_if_a_larger_work_was_faster():
    timings = [Timing(work=WORKS[1], seconds=1.0), Timing(work=WORKS[2], seconds=0.5)]
    found = fit_rate(timings)
    assert min(found.floor_s, found.per_projection_s, found.per_core_s, found.per_element_s) >= 0


def test_small_works_of_equal_time_are_a_floor():
    small = [SiteWork(projections=p, elements=p) for p in (10, 1000, 100_000)]
    timings = [Timing(work=work, seconds=5e-5) for work in small]
    timings += timed(Rate(per_projection_s=1e-12), WORKS[2:])
    found = fit_rate(timings)
    assert found.seconds(small[0]) == pytest.approx(5e-5, rel=0.01)
    assert found.seconds(WORKS[3]) == pytest.approx(1e-2, rel=0.1)


def test_one_timing_is_reproduced():
    assert fit_rate([Timing(work=WORKS[1], seconds=0.25)]).seconds(WORKS[1]) == pytest.approx(0.25)
