"""The domains of a pool as the autoscaling policy sees them, with workers that load nothing."""

import asyncio
import uuid

import pytest
import ray

from actors.domains import Domains
from actors.keeper import RemoteKeeper
from actors.pool_client import NAMESPACE
from actors.spec import PoolSpec
from cluster.autoscaler import Backlog
from cluster.errors import ClusterError

SPEC = PoolSpec(model="none", workers=1, device="cpu", dtype="float32", threads_per_worker=1, simulated_s=0.0)
NOTHING = Backlog(requests=0, worker_seconds=0.0, widest=0)


def a_keeper() -> ray.actor.ActorHandle:
    """It lives as long as the name of its pool does, which here is its own."""
    name = f"kept-{uuid.uuid4().hex[:8]}"
    return RemoteKeeper.options(name=name, namespace=NAMESPACE, num_cpus=0).remote(SPEC, name, NAMESPACE)


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


async def placed_after_a_close(keeper: ray.actor.ActorHandle) -> int:
    domains = Domains(SPEC, keeper, lambda: None, lambda problem: None)
    domains.scale(NOTHING)
    await asyncio.wait_for(domains.started.wait(), 60)
    (domain,) = domains
    renewal, closing = asyncio.ensure_future(domain.renew()), asyncio.ensure_future(domain.close())
    with pytest.raises(ClusterError, match="was given back"):
        await renewal
    await closing
    return len(await keeper.inventory.remote())


def test_no_other_domain_is_asked_for_while_one_is_renewed(ray_session: None) -> None:
    keeper = a_keeper()
    assert asyncio.run(most_domains_in_a_renewal(keeper)) == 1
    ray.kill(keeper)


def test_a_renewal_asks_for_nothing_once_its_domain_is_closed(ray_session: None) -> None:
    keeper = a_keeper()
    assert asyncio.run(placed_after_a_close(keeper)) == 0
    ray.kill(keeper)
