"""The count of operations and bytes against the paper's figures; the engine's own count is in tests/actors/engine."""

import dataclasses

import pytest

from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.workload import Workload
from tests.cluster.numbers import OPEN_SORA, OPEN_SORA_SAMPLER, SHAPE_480P

PAB246 = PabConfig(spatial=2, temporal=4, cross=6, timesteps=(450, 930))


def open_sora(pab: PabConfig) -> Workload:
    steps = OPEN_SORA_SAMPLER.timesteps(30, SHAPE_480P)
    return Workload(numbers=OPEN_SORA, shape=SHAPE_480P, schedule=BroadcastSchedule.build(pab, steps))


def test_the_papers_all_to_all_volumes_are_reproduced():
    # arXiv 2408.12588, the table of communication: GB a rank of 8, without and with PAB246.
    assert open_sora(PabConfig()).mean_all_to_all_bytes(8) / 1e9 == pytest.approx(23.08, abs=0.005)
    assert open_sora(PAB246).mean_all_to_all_bytes(8) / 1e9 == pytest.approx(13.08, abs=0.005)


def test_the_papers_operations_are_reproduced_within_its_count():
    # The paper counts 3230 TFLOPs without and 2658 with PAB246; how it counts text and the last steps it does not say.
    denoiser = [
        sum(count for part, count in open_sora(pab).flops().items() if part not in ("text", "vae")) / 1e12
        for pab in (PabConfig(), PAB246)
    ]
    assert denoiser == pytest.approx([3230, 2658], rel=0.06)
    assert denoiser[0] / denoiser[1] == pytest.approx(3230 / 2658, rel=0.03)


def test_one_worker_sends_nothing_and_the_forecast_of_rank_0_is_never_below_the_mean():
    work = open_sora(PAB246)
    assert work.mean_all_to_all_bytes(1) == 0
    for width in (2, 4, 8):
        assert work.forecast(width).all_to_all.bytes >= work.mean_all_to_all_bytes(width)


def test_a_wider_gang_has_less_work_and_less_memory_a_rank():
    work = open_sora(PabConfig())
    flops = [sum(work.flops(width).values()) for width in (1, 3, 5, 15)]
    peaks = [work.peak_bytes(width) for width in (1, 3, 5, 15)]
    assert flops == sorted(flops, reverse=True)
    assert peaks == sorted(peaks, reverse=True)


def test_two_passes_hold_the_activations_of_one_branch_and_the_cache_of_both():
    batched = dataclasses.replace(open_sora(PAB246), shape=dataclasses.replace(SHAPE_480P, num_frames=408))
    two_pass, one = dataclasses.replace(batched, guidance="two_pass"), dataclasses.replace(batched, branches=1)
    caches = [work.forecast(1).cache_bytes for work in (batched, two_pass, one)]
    assert caches[0] == caches[1] == 2 * caches[2]
    assert two_pass.peak_bytes(1) - one.peak_bytes(1) == caches[2]
    assert batched.peak_bytes(1) > two_pass.peak_bytes(1)


def test_what_is_broadcast_costs_nothing():
    work = open_sora(PAB246)
    rows = [work.schedule.table[kind] for kind in ("spatial", "temporal", "cross")]
    quiet = next(step for step in range(30) if not any(row[step] for row in rows))
    assert set(work.step(quiet)) == {"mlp"}
    assert set(work.step(0)) == {"spatial", "temporal", "cross", "mlp"}


def test_half_the_branches_are_half_the_attention():
    both = open_sora(PabConfig())
    one = dataclasses.replace(both, branches=1)
    assert one.site("spatial") * 2 == both.site("spatial")
    assert one.site("temporal", 4) * 2 == both.site("temporal", 4)
    split = dataclasses.replace(both, guidance="split")
    assert split.site("temporal", 4) == one.site("temporal", 2), "half the ranks, a branch each"
    assert split.site("temporal", 3) == both.site("temporal", 3), "3 ranks have no halves"
