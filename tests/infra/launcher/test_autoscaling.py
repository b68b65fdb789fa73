"""Ray's own scheduler of nodes picks, from the launcher's node types, what a domain was asked for."""

from typing import Any

import pytest
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest
from ray.core.generated.common_pb2 import LabelSelectorOperator

from cluster.demand import Market
from cluster.placement import label_selector
from tests.infra.launcher.clusters import CLOUDS, SIZES, checked, domain, read


def launched(cloud: str, gpus: int, market: Market) -> list[tuple[str, int]]:
    """The types and counts of the nodes that a domain of `gpus` workers makes an empty cluster start.

    The request is that of a placement group as cluster.placement makes it, as Ray hands it to its autoscaler.
    """
    demand = domain(gpus)
    affinity: Any = (ResourceRequestUtil.PlacementConstraintType.AFFINITY, "_PG_of_the_domain", "")
    labels = [(key, LabelSelectorOperator.LABEL_OPERATOR_IN, [value]) for key, value in label_selector(market).items()]
    bundle = ResourceRequestUtil.make(dict(demand.bundle), [affinity], [labels] if labels else None)
    config = AutoscalingConfig(checked(read(cloud)), skip_content_hash=True)
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            gang_resource_requests=[GangResourceRequest(requests=[bundle] * gpus)],
            disable_launch_config_check=True,
        )
    )
    return [(launch.instance_type, launch.count) for launch in reply.to_launch if launch.instance_type != "head"]


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("gpus", SIZES)
@pytest.mark.parametrize(("market", "kind"), [("spot", "spot"), ("on_demand", "on_demand"), ("any", "on_demand")])
def test_a_domain_starts_the_node_of_its_size_and_market(cloud: str, gpus: int, market: Market, kind: str) -> None:
    assert launched(cloud, gpus, market) == [(f"gpu_{gpus}_{kind}", 1)]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_domain_that_no_node_holds_starts_none(cloud: str) -> None:
    assert launched(cloud, 9, "spot") == []
