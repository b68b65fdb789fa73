"""The autoscaler over a simulated pool, tick by tick."""

from dataclasses import replace

from cluster.autoscaler import DomainView, Phase, ScaleDecision, ScalePolicy
from cluster.demand import Market
from tests.cluster.scaling import POLICY, SPOT, backlog, decide, domain


class Simulation:
    """A pool whose domains take 30 s to come and 10 s to start, and that works on its oldest requests, one a worker.

    Spot nodes do not come at all from `spot_ends_s` on.
    """

    TICK_S = 5

    def __init__(self, policy: ScalePolicy, spot_ends_s: float = 1e9) -> None:
        self.policy = policy
        self.spot_ends_s = spot_ends_s
        self.now_s = 0
        self.domains: list[DomainView] = []
        self.asked: list[Market] = []
        self.released: list[DomainView] = []
        self.left_s: list[float] = []
        self.most = 0

    def tick(self, arrivals: int = 0, seconds: float = 60.0) -> None:
        self.left_s += [seconds] * arrivals
        self.domains = [self.older(view) for view in self.domains]
        self.work()
        decision = self.decide()
        self.released += [view for view in self.domains if view.name in decision.release]
        self.domains = [view for view in self.domains if view.name not in decision.release]
        for market in decision.ask:
            self.domains.append(domain(len(self.asked), "pending", market=market, age_s=0))
            self.asked.append(market)
        self.most = max(self.most, self.workers("pending", "starting", "ready"))
        again = self.decide()
        assert (again.ask, again.release) == ((), ()), again.reason
        self.now_s += self.TICK_S

    def decide(self) -> ScaleDecision:
        return decide(backlog(len(self.left_s), sum(self.left_s)), *self.domains, policy=self.policy)

    def older(self, view: DomainView) -> DomainView:
        comes = view.market != "spot" or self.now_s < self.spot_ends_s
        phase: Phase = "pending" if view.age_s < 30 or not comes else "starting" if view.age_s < 40 else "ready"
        phase = view.phase if view.phase == "ready" else phase
        return replace(view, phase=phase, age_s=view.age_s + self.TICK_S)

    def work(self) -> None:
        ready = [view for view in self.domains if view.phase == "ready"]
        running = len(self.left_s[: self.workers("ready")])
        for view in ready:
            running -= view.workers
            idle_s = 0.0 if running > -view.workers else view.idle_s + self.TICK_S
            self.domains[self.domains.index(view)] = replace(view, idle_s=idle_s)
        worked = [left - self.TICK_S for left in self.left_s[: self.workers("ready")]]
        self.left_s = [left for left in worked if left > 0] + self.left_s[self.workers("ready") :]

    def workers(self, *phases: Phase) -> int:
        return sum(view.workers for view in self.domains if view.phase in phases)


def test_a_burst_grows_the_pool_once_and_it_ends_with_nothing() -> None:
    simulation = Simulation(POLICY)
    simulation.tick(arrivals=40)
    while simulation.domains:
        simulation.tick()
    assert simulation.left_s == []
    assert (simulation.most, len(simulation.asked), len(simulation.released)) == (8, 4, 4)
    assert simulation.now_s <= 40 + 40 * 60 / 8 + 60 + 2 * Simulation.TICK_S


def test_steady_work_keeps_the_pool_as_it_is() -> None:
    simulation = Simulation(POLICY)
    for tick in range(400):
        simulation.tick(arrivals=1 if tick % 4 == 0 else 0)
    # A request of 60 s every 20 s keeps 3 workers busy; the queue of the first minute may bring one domain more.
    assert 2 <= len(simulation.asked) <= 3
    assert len(simulation.left_s) < 8
    assert all(view.idle_s >= POLICY.idle_release_s for view in simulation.released)


def test_a_minimum_stays_when_the_burst_is_over() -> None:
    simulation = Simulation(replace(POLICY, min_workers=2))
    simulation.tick(arrivals=40)
    for _ in range(200):
        simulation.tick()
    assert (simulation.workers("ready"), len(simulation.asked)) == (2, 4)


def test_work_goes_on_with_on_demand_nodes_when_spot_nodes_stop_coming() -> None:
    simulation = Simulation(SPOT, spot_ends_s=0)
    simulation.tick(arrivals=40)
    while simulation.domains:
        simulation.tick()
    assert simulation.left_s == []
    assert simulation.asked == ["spot"] * 4 + ["on_demand"] * 4
