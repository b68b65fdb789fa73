"""Widths: what is chosen, why, and why not the others."""

import dataclasses
import time

import pytest

from cluster.calibration import assume
from cluster.errors import RequestError
from cluster.gpu import GpuSpec
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from cluster.width import Capacity, Goal, WidthDecision, choose_width
from cluster.workload import Workload
from tests.cluster.numbers import COGVIDEOX_5B, OPEN_SORA, OPEN_SORA_SAMPLER, WAN_1_3B

H200 = GpuSpec(id="h200", bf16_tflops=989, fp32_tflops=67, memory_gb=141, memory_gb_s=4800, link_gb_s=450)
EIGHT = Capacity(workers=8, memory_bytes=H200.memory_bytes)
SIZES = ((256, 456), (480, 848), (720, 1280), (1080, 1920))


def work(height: int, width: int, frames: int = 51) -> Workload:
    shape = Shape(height=height, width=width, num_frames=frames)
    schedule = BroadcastSchedule.build(PabConfig(), OPEN_SORA_SAMPLER.timesteps(30, shape))
    return Workload(numbers=OPEN_SORA, shape=shape, schedule=schedule)


def choose(workload: Workload, goal: Goal, capacity: Capacity = EIGHT) -> WidthDecision:
    return choose_width(workload, capacity, assume(H200, 2), goal)


@pytest.mark.parametrize("latency_s", [1, 3, 6, 10, 15, 30, 100])
def test_under_a_latency_goal_widths_never_fall_as_the_resolution_grows(latency_s):
    widths = [choose(work(*size), Goal(latency_s=latency_s)).width for size in SIZES]
    assert widths == sorted(widths)


def test_online_the_narrowest_that_meets_the_goal_is_chosen():
    decision = choose(work(1080, 1920), Goal(latency_s=20))
    assert decision.width > 1
    assert decision.cost.seconds <= 20
    assert decision.reason.startswith("the narrowest that meets 20 s")
    assert "takes" in decision.rejected[decision.width - 1]


def test_online_the_fastest_is_chosen_where_none_meets_the_goal():
    decision = choose(work(1080, 1920), Goal(latency_s=0.5))
    assert "none meets 0.5 s" in decision.reason
    assert decision.width == 8


def test_offline_the_fewest_gpu_seconds_win():
    assert choose(work(480, 848), Goal()).width == 1


def test_at_the_tail_of_a_job_gangs_are_as_wide_as_the_idle_workers_allow():
    assert choose(work(480, 848), Goal(videos_left=2)).width > 2
    assert choose(work(480, 848), Goal(videos_left=8)).width == 1
    assert choose(work(480, 848), Goal(videos_left=1000)).width == 1
    assert "2 left for 8 workers" in choose(work(480, 848), Goal(videos_left=2)).reason


def test_a_video_that_fits_one_gpu_only_in_part_gets_the_narrowest_gang_that_holds_it():
    small = Capacity(workers=8, memory_bytes=40 * 10**9)
    decision = choose(work(1080, 1920, 408), Goal(), small)
    assert decision.width > 1
    assert decision.rejected[1].startswith("needs ")
    assert decision.cost.peak_bytes <= small.usable_bytes


def test_what_fits_nowhere_is_refused_in_a_second_with_the_arithmetic_and_what_would_fit():
    huge = work(4320, 7680, 1003)
    begun = time.monotonic()
    with pytest.raises(RequestError, match=r"7680x4320x1003 needs .* GB a GPU on a gang of 8.*what would fit: "):
        choose(huge, Goal())
    assert time.monotonic() - begun < 1
    with pytest.raises(RequestError) as refused:
        choose(huge, Goal())
    assert "with 1003 frames" in str(refused.value)


@pytest.mark.parametrize("numbers", [WAN_1_3B, COGVIDEOX_5B], ids=["wan", "cogvideox"])
def test_a_gang_that_shares_a_causal_decoder_out_needs_no_more_than_a_narrower_one(numbers):
    schedule = BroadcastSchedule.build(PabConfig(), [900.0, 500.0])
    for edge in (480, 1024, 2048):
        shape = Shape(height=edge, width=edge, num_frames=numbers.num_frames)
        workload = Workload(numbers=numbers, shape=shape, schedule=schedule)
        peaks = [workload.peak_bytes(width) for width in workload.gang_widths]
        assert peaks == sorted(peaks, reverse=True)


@pytest.mark.parametrize("latency_s", [15, 60, 120])
def test_widths_of_a_joint_model_never_fall_as_the_resolution_grows(latency_s):
    l40s = dataclasses.replace(H200, memory_gb=48)
    some, widths = Capacity(workers=8, memory_bytes=l40s.memory_bytes), []
    for size in ((480, 832), (608, 1072), (720, 1280), (960, 1280)):
        shape = Shape(height=size[0], width=size[1], num_frames=81)
        schedule = BroadcastSchedule.build(PabConfig(), [1000 - 20 * step for step in range(50)])
        workload = Workload(numbers=WAN_1_3B, shape=shape, schedule=schedule)
        widths.append(choose(workload, Goal(latency_s=latency_s), some).width)
    assert widths == sorted(widths)
    assert widths[-1] == 6


def test_where_only_the_cache_is_too_much_the_way_out_is_to_do_without():
    few = work(720, 1280, 102)
    pab = PabConfig(spatial=2, temporal=4, cross=6, window=(0.1, 0.9))
    cached = dataclasses.replace(few, schedule=BroadcastSchedule.build(pab, few.schedule.timesteps))
    between = Capacity(workers=1, memory_bytes=(few.peak_bytes(1) + cached.peak_bytes(1)) // 2 * 100 // 92)
    with pytest.raises(RequestError) as refused:
        choose(cached, Goal(), between)
    cache = f"{cached.forecast(1).cache_bytes / 1e9:.1f} GB"
    assert f"what would fit: pab=off or a pab.cache_budget_gb (PAB's cache is {cache} of it) or " in str(refused.value)
    assert choose(few, Goal(), between).width == 1


def test_a_refusal_of_a_thousand_steps_takes_no_longer_than_one_of_thirty():
    pab = PabConfig(spatial=2, temporal=4, cross=6, window=(0.1, 0.9))
    schedule = BroadcastSchedule.build(pab, [1000.0 - step for step in range(1000)])
    begun = time.process_time()
    with pytest.raises(RequestError, match="what would fit: "):
        choose(dataclasses.replace(work(4320, 7680, 1003), schedule=schedule), Goal())
    assert time.process_time() - begun < 3


def test_what_is_said_to_fit_does():
    huge = work(4320, 7680, 408)
    with pytest.raises(RequestError) as refused:
        choose(huge, Goal(), Capacity(workers=1, memory_bytes=80 * 10**9))
    size, _, rest = str(refused.value).partition("what would fit: ")[2].partition(" with ")
    width, height = (int(edge) for edge in size.split("x"))
    assert rest.startswith("408 frames")
    fits = dataclasses.replace(huge, shape=Shape(height=height, width=width, num_frames=408))
    assert choose(fits, Goal(), Capacity(workers=1, memory_bytes=80 * 10**9)).width == 1
