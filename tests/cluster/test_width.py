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
from tests.cluster.numbers import OPEN_SORA, OPEN_SORA_SAMPLER, WAN_1_3B, WAN_SHAPE

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


def test_where_wider_gangs_need_more_the_advice_is_what_any_width_holds():
    """Gangs that share a causal decoder out keep its chunks' edges on every rank."""
    some = Capacity(workers=8, memory_bytes=24 * 10**9)
    shape = dataclasses.replace(WAN_SHAPE, height=2048, width=2048)
    huge = Workload(numbers=WAN_1_3B, shape=shape, schedule=BroadcastSchedule.build(PabConfig(), [900.0, 500.0]))
    peaks = {width: huge.peak_bytes(width) for width in huge.gang_widths if width <= 8}
    least = min(peaks, key=lambda width: peaks[width])
    assert least < max(peaks)
    with pytest.raises(RequestError, match=rf"on a gang of {least}, which of all widths needs the least") as refused:
        choose(huge, Goal(), some)
    size = str(refused.value).partition("what would fit: ")[2].partition(" with ")[0]
    edges = {"width": int(size.split("x")[0]), "height": int(size.split("x")[1])}
    fits = dataclasses.replace(huge, shape=dataclasses.replace(shape, **edges))
    decision = choose(fits, Goal(latency_s=0.1), some)
    assert decision.cost.peak_bytes <= some.usable_bytes
    assert max(decision.rejected) > decision.width
    assert decision.reason.endswith("; wider ones do not fit in memory")


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
    begun = time.monotonic()
    with pytest.raises(RequestError, match="what would fit: "):
        choose(dataclasses.replace(work(4320, 7680, 1003), schedule=schedule), Goal())
    assert time.monotonic() - begun < 3


def test_what_is_said_to_fit_does():
    huge = work(4320, 7680, 408)
    with pytest.raises(RequestError) as refused:
        choose(huge, Goal(), Capacity(workers=1, memory_bytes=80 * 10**9))
    size, _, rest = str(refused.value).partition("what would fit: ")[2].partition(" with ")
    width, height = (int(edge) for edge in size.split("x"))
    assert rest.startswith("408 frames")
    fits = dataclasses.replace(huge, shape=Shape(height=height, width=width, num_frames=408))
    assert choose(fits, Goal(), Capacity(workers=1, memory_bytes=80 * 10**9)).width == 1
