from dataclasses import replace

import pytest

from cluster.autoscaler import SETTLE_S, Phase, ScaleDecision
from cluster.errors import ConfigError
from tests.cluster.scaling import NOTHING, POLICY, SPOT, backlog, decide, domain


def test_nothing_is_asked_for_without_requests() -> None:
    decision = decide(NOTHING)
    assert (decision.ask, decision.release) == ((), ())
    assert decision.reason == "nothing waits or runs; 0 wanted, 0 held: nothing to do"


def test_the_pool_grows_by_whole_domains_until_the_backlog_ends_in_time() -> None:
    decision = decide(backlog(10, worker_seconds=5 * 120))
    assert decision.ask == ("any", "any", "any")
    assert decision.reason == (
        "10 requests of 600 worker-seconds: 5 workers for 120 s; 5 wanted, 0 held: ask for 3 domains"
    )


def test_a_backlog_that_just_ends_in_time_asks_for_no_more() -> None:
    assert decide(backlog(10, worker_seconds=240), domain(1)).ask == ()
    assert decide(backlog(10, worker_seconds=241), domain(1)).ask == ("any",)


def test_pending_and_starting_domains_count_and_draining_ones_do_not() -> None:
    work = backlog(10, worker_seconds=6 * 120)
    assert decide(work, domain(1, "pending"), domain(2, "starting"), domain(3)).ask == ()
    assert decide(work, domain(1, "pending"), domain(2, "draining"), domain(3)).ask == ("any",)


def test_the_pool_never_grows_beyond_its_maximum() -> None:
    decision = decide(backlog(1000, worker_seconds=1e6), domain(1), domain(2, "pending"))
    assert decision.ask == ("any", "any")
    assert "1000 workers for 120 s, of which 8 are allowed" in decision.reason
    assert decide(backlog(1000, worker_seconds=1e6), *map(domain, range(4))).ask == ()


def test_a_domain_that_would_only_partly_fit_is_not_asked_for() -> None:
    assert len(decide(backlog(1000, 1e6), policy=replace(POLICY, max_workers=7)).ask) == 3


def test_the_place_of_a_draining_domain_may_be_filled() -> None:
    full = [domain(1, "draining"), domain(2), domain(3), domain(4)]
    assert decide(backlog(1000, 1e6), *full).ask == ("any",)


def test_without_a_prediction_a_request_counts_as_one_worker() -> None:
    assert len(decide(backlog(5)).ask) == 3


def test_there_are_enough_workers_for_the_widest_request_however_short() -> None:
    wide = replace(POLICY, domain_workers=4)
    assert decide(backlog(1, worker_seconds=1, widest=4), policy=wide).ask == ("any",)
    assert decide(backlog(1, worker_seconds=1, widest=4), domain(1), domain(2), policy=wide).ask == ("any",)


def test_a_request_wider_than_any_domain_is_no_reason_for_ever_more_domains() -> None:
    assert decide(backlog(1, worker_seconds=1, widest=4), domain(1), domain(2)).ask == ()


def test_there_are_never_more_workers_than_could_be_busy() -> None:
    assert len(decide(backlog(2, worker_seconds=1e6, widest=2)).ask) == 2
    assert len(decide(backlog(1, worker_seconds=1e6, widest=1)).ask) == 1


def test_the_minimum_is_there_without_requests() -> None:
    warm = replace(POLICY, min_workers=3)
    assert decide(NOTHING, policy=warm).ask == ("any", "any")
    assert decide(NOTHING, domain(1, idle_s=1e6), domain(2, "pending"), policy=warm) == ScaleDecision(
        reason="nothing waits or runs; 3 wanted, 4 held: nothing to do"
    )


def test_a_domain_idle_for_long_enough_goes() -> None:
    decision = decide(NOTHING, domain(1, idle_s=59), domain(2, idle_s=61))
    assert decision.release == (2,)
    assert decision.reason == "nothing waits or runs; 0 wanted, 4 held: release 1 domain no longer needed"


def test_the_domains_idle_for_longest_go_and_the_minimum_stays() -> None:
    idle = [domain(name, idle_s=100 + name) for name in range(4)]
    assert decide(NOTHING, *idle, policy=replace(POLICY, min_workers=4)).release == (3, 2)


def test_an_idle_domain_stays_while_the_backlog_needs_it() -> None:
    idle = [domain(1, idle_s=100), domain(2, idle_s=200)]
    assert decide(backlog(4, worker_seconds=480), *idle).release == ()
    assert decide(backlog(2, worker_seconds=240), *idle).release == (2,)


def test_the_only_domain_that_holds_the_widest_request_stays() -> None:
    wide = replace(POLICY, domain_workers=4)
    idle = [domain(1, workers=2, idle_s=100), domain(2, workers=4, idle_s=200), domain(3, workers=2, idle_s=100)]
    assert decide(backlog(1, worker_seconds=1, widest=4), *idle, policy=wide).release == (1, 3)


@pytest.mark.parametrize("phase", ["starting", "draining"])
def test_a_domain_that_starts_or_drains_is_not_released(phase: Phase) -> None:
    assert decide(NOTHING, domain(1, phase, idle_s=1e6)).release == ()


def test_a_busy_domain_is_not_released_even_if_idle_ones_may_go_at_once() -> None:
    hasty = replace(POLICY, idle_release_s=0)
    assert decide(NOTHING, domain(1, idle_s=0), domain(2, idle_s=0.1), policy=hasty).release == (2,)


def test_a_request_for_a_domain_is_taken_back_once_nothing_waits_for_it() -> None:
    assert decide(NOTHING, domain(1, "pending")).release == (1,)
    assert decide(backlog(1), domain(1, "pending"), domain(2)).release == ()
    assert decide(NOTHING, domain(1, "pending"), policy=replace(POLICY, min_workers=1)).release == ()


def test_a_queue_empty_for_a_moment_takes_no_request_for_a_domain_back() -> None:
    assert decide(NOTHING, domain(1, "pending", age_s=SETTLE_S - 1)).release == ()


def test_a_spent_budget_asks_for_nothing_and_keeps_only_what_is_busy() -> None:
    tight = replace(POLICY, budget_gpu_hours=2.0, min_workers=4, spot=True)
    domains = [
        domain(1),
        domain(2, idle_s=1),
        domain(3, "starting"),
        domain(4, "pending", market="spot"),
        domain(5, "draining"),
    ]
    decision = decide(backlog(100, 1e6), *domains, policy=tight, spent=2 * 3600 + 36)
    assert (decision.ask, decision.release) == ((), (2, 3, 4))
    assert decision.reason == (
        "the budget is spent: 2.01 of 2 GPU-hours (of workers that are held, from their first second on)"
    )


def test_a_budget_that_is_left_changes_nothing() -> None:
    tight = replace(POLICY, budget_gpu_hours=2.0)
    assert decide(backlog(5), policy=tight, spent=7199) == decide(backlog(5))


def test_spot_nodes_are_asked_for_first() -> None:
    assert decide(backlog(3), policy=SPOT).ask == ("spot", "spot")


def test_a_spot_domain_that_does_not_come_is_replaced_by_an_on_demand_one_in_one_decision() -> None:
    domains = [domain(1, "pending", age_s=121, market="spot"), domain(2, "pending", age_s=119, market="spot")]
    decision = decide(backlog(4), *domains, policy=SPOT)
    assert (decision.ask, decision.release) == (("on_demand",), (1,))
    assert decision.reason.endswith("give up 1 spot domain that did not come, ask for 1 on-demand domain")


def test_no_spot_node_is_asked_for_in_the_decision_that_gives_one_up() -> None:
    decision = decide(backlog(6), domain(1, "pending", age_s=121, market="spot"), policy=SPOT)
    assert decision.ask == ("on_demand",) * 3


def test_a_full_pool_replaces_a_spot_domain_that_does_not_come() -> None:
    full = [domain(1), domain(2), domain(3), domain(4, "pending", age_s=121, market="spot")]
    decision = decide(backlog(100, 1e6), *full, policy=SPOT)
    assert (decision.ask, decision.release) == (("on_demand",), (4,))


def test_a_spot_domain_that_does_not_come_and_is_not_needed_is_not_replaced() -> None:
    domains = [domain(1), domain(2, "pending", age_s=121, market="spot")]
    decision = decide(backlog(2), *domains, policy=SPOT)
    assert (decision.ask, decision.release) == ((), (2,))


def test_on_demand_domains_and_spot_domains_that_have_come_are_not_late() -> None:
    domains = [domain(1, "pending", market="on_demand"), domain(2, "starting", market="spot"), domain(3, market="spot")]
    assert decide(backlog(6), *domains, policy=SPOT).release == ()


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"max_workers": 0}, "cluster.workers is 0; it must be 1 or more"),
        ({"min_workers": -1}, "cluster.min_workers is -1; it must be 0 or more"),
        ({"backlog_s": 0.0}, "cluster.backlog_s is 0; it must be more than 0"),
        ({"budget_gpu_hours": 0.0}, "cluster.budget_gpu_hours is 0; it must be more than 0"),
        (
            {"min_workers": 9},
            "cluster.min_workers is 9 and cluster.workers 8; use a cluster.min_workers of at most 8",
        ),
        ({"domain_workers": 16}, "use a cluster.domain_workers of at most 8"),
        (
            {"domain_workers": 3, "min_workers": 7},
            "cluster.workers 8 holds 2 domains of cluster.domain_workers 3, which is 6 workers, "
            "and cluster.min_workers is 7; use a cluster.workers of 9",
        ),
    ],
)
def test_numbers_that_cannot_work_are_refused_with_the_way_out(numbers: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        replace(POLICY, **numbers)  # type: ignore[arg-type]
    assert sentence in str(refusal.value)
