"""The domains of a pool as the autoscaling policy sees them, with workers that load nothing."""

import asyncio
import time
import uuid
from collections.abc import Iterator

import pytest
import ray

from actors.domain import NotLoaded
from actors.domains import Domains
from actors.keeper import RemoteKeeper
from actors.pool_client import NAMESPACE
from actors.spec import PoolSpec
from cluster.autoscaler import Backlog, ScalePolicy
from cluster.errors import ClusterError

SPEC = PoolSpec(model="none", workers=1, device="cpu", dtype="float32", threads_per_worker=1, simulated_s=0.0)
WITHOUT_WEIGHTS = PoolSpec(
    model="/no/such/model",
    workers=1,
    device="cpu",
    dtype="float32",
    threads_per_worker=1,
    elastic=ScalePolicy(max_workers=1, min_workers=0, domain_workers=1),
)
NOTHING = Backlog(requests=0, worker_seconds=0.0, widest=0)


@pytest.fixture
def keeper(ray_session: None, request: pytest.FixtureRequest) -> Iterator[ray.actor.ActorHandle]:
    """It lives as long as the name of its pool does, which here is its own."""
    spec = getattr(request, "param", SPEC)
    name = f"kept-{uuid.uuid4().hex[:8]}"
    actor = RemoteKeeper.options(name=name, namespace=NAMESPACE, num_cpus=0).remote(spec, name, NAMESPACE)
    yield actor
    ray.kill(actor)


async def most_domains_in_a_renewal(keeper: ray.actor.ActorHandle) -> int:
    problems: list[str] = []
    domains = Domains(SPEC, keeper, lambda: None, problems.append)
    domains.scale(NOTHING)
    await asyncio.wait_for(domains.started.wait(), 60)
    (domain,) = domains
    domain.phase = "renewing"
    renewal = asyncio.ensure_future(domain.renew())
    most = 1
    while not renewal.done():
        domains.scale(NOTHING)
        most = max(most, len(list(domains)))
        await asyncio.sleep(0)
    await renewal
    assert [one.phase for one in domains] == ["ready"]
    await domains.close()
    assert not problems
    return most


async def placed_after_a_close(keeper: ray.actor.ActorHandle, *, while_renewed: bool) -> int:
    domains = Domains(SPEC, keeper, lambda: None, lambda problem: None)
    domains.scale(NOTHING)
    await asyncio.wait_for(domains.started.wait(), 60)
    (domain,) = domains
    if while_renewed:
        renewal, closing = asyncio.ensure_future(domain.renew()), asyncio.ensure_future(domain.close())
        await asyncio.wait([renewal, closing])
    else:
        await domain.close()
        renewal = asyncio.ensure_future(domain.renew())
    with pytest.raises(ClusterError, match="was given back"):
        await renewal
    return len(await keeper.inventory.remote())


async def cost_of_a_renewal(keeper: ray.actor.ActorHandle) -> tuple[float, float]:
    """What the pool counts, and the seconds that went by, in worker-seconds of its one worker."""
    domains = Domains(SPEC, keeper, lambda: None, lambda problem: None)
    begun = time.monotonic()
    domains.scale(NOTHING)
    await asyncio.wait_for(domains.started.wait(), 60)
    (domain,) = domains
    await domains._renew(domain, "a test")
    await domains._close(domain)
    return domains.worker_seconds(time.monotonic()), time.monotonic() - begun


def test_no_other_domain_is_asked_for_while_one_is_renewed(keeper: ray.actor.ActorHandle) -> None:
    assert asyncio.run(most_domains_in_a_renewal(keeper)) == 1


@pytest.mark.parametrize("while_renewed", [True, False])
def test_a_renewal_asks_for_nothing_once_its_domain_is_closed(
    keeper: ray.actor.ActorHandle, while_renewed: bool
) -> None:
    assert asyncio.run(placed_after_a_close(keeper, while_renewed=while_renewed)) == 0


def test_what_a_renewed_domain_costs_is_counted_once(keeper: ray.actor.ActorHandle) -> None:
    counted, passed = asyncio.run(cost_of_a_renewal(keeper))
    assert 0.2 * passed < counted <= passed


async def what_a_lost_domain_lets_end(keeper: ray.actor.ActorHandle) -> tuple[list[str], list[int], list[int]]:
    problems: list[str] = []
    domains = Domains(SPEC, keeper, lambda: None, problems.append)
    domains.scale(NOTHING)
    await asyncio.wait_for(domains.started.wait(), 60)
    (domain,) = domains
    domain.busy = 1
    losing = asyncio.ensure_future(domains._lose(domain, NotLoaded("the weights are gone")))
    await asyncio.wait([losing], timeout=1)
    meanwhile = [len(domain.members), len(domains.ready)]
    domain.busy = 0
    await asyncio.wait_for(losing, 30)
    return problems, meanwhile, [len(domain.members), len(list(domains))]


async def domains_that_were_asked_for(keeper: ray.actor.ActorHandle) -> tuple[list[str], int]:
    problems: list[str] = []
    domains = Domains(WITHOUT_WEIGHTS, keeper, lambda: None, problems.append)
    domains._worked = True
    while not problems:
        domains.scale(Backlog(requests=1, worker_seconds=1.0, widest=1))
        await asyncio.sleep(0.05)
    asked = domains._next
    await domains.close()
    return problems, asked


def test_what_runs_beside_a_worker_that_cannot_be_loaded_again_is_let_end(keeper: ray.actor.ActorHandle) -> None:
    problems, meanwhile, afterwards = asyncio.run(what_a_lost_domain_lets_end(keeper))
    assert problems == ["the weights are gone"]
    assert meanwhile == [1, 0]
    assert afterwards == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("keeper", [WITHOUT_WEIGHTS], indirect=True)
def test_a_model_that_cannot_be_loaded_any_more_is_given_up(
    keeper: ray.actor.ActorHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.domains.ASK_AGAIN_S", 0.0)
    problems, asked = asyncio.run(asyncio.wait_for(domains_that_were_asked_for(keeper), 200))
    assert asked == 3
    assert len(problems) == 1
    assert "there is no model folder" in problems[0]
