from cluster.demand import Demand
from cluster.placement import bundles_that_fit, fits_one_node, missing, too_small

PAIR = Demand(workers=2, bundle=(("GPU", 1.0), ("CPU", 1.0)))


def test_what_lacks_is_named_by_resource() -> None:
    assert missing(PAIR, {"CPU": 8.0, "GPU": 1.0}) == {"GPU": 1.0}
    assert missing(PAIR, {"CPU": 2.0, "GPU": 2.0}) == {}


def test_a_bundle_does_not_span_nodes() -> None:
    nodes = [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}]
    assert bundles_that_fit(PAIR, nodes) == 1


def test_workers_go_on_one_node_only_if_one_can_hold_all() -> None:
    assert not fits_one_node(PAIR, [{"CPU": 8.0, "GPU": 1.0}] * 2)
    assert fits_one_node(PAIR, [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0, "GPU": 4.0}])


def test_a_demand_reads_as_a_sentence() -> None:
    assert str(PAIR) == "2 workers with 1 GPU + 1 CPU each"


def test_a_cluster_without_gpus_is_told_to_use_the_cpu() -> None:
    assert "no GPU; use cluster.device=cpu" in too_small(PAIR, [{"CPU": 8.0}])
    assert "has 1 GPU, 8 CPU on 1 node(s), enough for 1; lower cluster.workers" in too_small(
        PAIR, [{"CPU": 8.0, "GPU": 1.0}]
    )
