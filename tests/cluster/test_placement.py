from cluster.placement import Demand, bundles_that_fit, fits_one_node, missing

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
