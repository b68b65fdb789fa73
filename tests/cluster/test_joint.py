"""Models with joint 3-D attention: tokens, widths, what is sent and held, from closed forms."""

import dataclasses

import pytest

from cluster.calibration import assume
from cluster.errors import RequestError
from cluster.forecast import CollectiveCount, forecast
from cluster.gpu import GpuSpec
from cluster.model import ModelNumbers
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from cluster.width import Capacity, Goal, choose_width
from cluster.workload import Workload
from tests.cluster.numbers import COGVIDEOX_5B, COGVIDEOX_SHAPE, WAN_1_3B, WAN_SHAPE

MODELS = {"cogvideox": (COGVIDEOX_5B, COGVIDEOX_SHAPE), "wan": (WAN_1_3B, WAN_SHAPE)}
LATENT_BYTES = {"cogvideox": 2, "wan": 4}
PAB = PabConfig(spatial=2, cross=6, timesteps=(100, 850))
TIMES = [1000 - 20 * step for step in range(50)]


def work(name: str, pab: PabConfig = PAB) -> Workload:
    numbers, shape = MODELS[name]
    return Workload(numbers=numbers, shape=shape, schedule=BroadcastSchedule.build(pab, TIMES))


def test_tokens_are_the_videos_and_text_joins_them_in_cogvideox_alone():
    assert COGVIDEOX_5B.num_tokens(COGVIDEOX_SHAPE) == 13 * 30 * 45
    assert COGVIDEOX_5B.sequence(COGVIDEOX_SHAPE) == 226 + 13 * 30 * 45
    assert WAN_1_3B.num_tokens(WAN_SHAPE) == WAN_1_3B.sequence(WAN_SHAPE) == 21 * 30 * 52


def test_legal_widths_divide_the_heads():
    assert COGVIDEOX_5B.legal_widths(COGVIDEOX_SHAPE) == (1, 2, 3, 4, 6, 8, 12, 16, 24, 48)
    assert WAN_1_3B.legal_widths() == (1, 2, 3, 4, 6, 12)
    single = Shape(height=64, width=64, num_frames=1)
    many = dataclasses.replace(WAN_1_3B, num_heads=48, hidden_size=48 * 32)
    assert many.legal_widths(single) == (1, 2, 3, 4, 6, 8, 12, 16), "no wider than there are tokens"


@pytest.mark.parametrize(
    ("numbers", "frames", "legal"),
    [
        *((WAN_1_3B, frames, frames in (1, 77, 81)) for frames in (1, 77, 80, 81, 85)),
        *((COGVIDEOX_5B, frames, frames in (41, 49)) for frames in (0, 41, 45, 49)),
    ],
)
def test_frames_are_whole_groups_after_the_first(numbers: ModelNumbers, frames: int, legal: bool):
    shape = Shape(height=480, width=720, num_frames=frames)
    if legal:
        numbers.check(shape)
        assert numbers.latent_frames(shape) == (frames - 1) // 4 + 1
        return
    with pytest.raises(RequestError, match=r"the model makes 1 to (49, in 8s|81, in 4s) after the first"):
        numbers.check(shape)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"joint": False}, "text joins the sequence of joint"),
        ({"sites": ("spatial", "temporal")}, "all frames already"),
    ],
)
def test_numbers_that_contradict_one_another_are_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(COGVIDEOX_5B, **change)


@pytest.mark.parametrize("width", [2, 3, 4, 6, 12])
@pytest.mark.parametrize("name", MODELS)
def test_a_joint_attention_sends_queries_keys_values_and_output_in_two_calls(name, width):
    numbers, shape = MODELS[name]
    said, every = work(name).forecast(width), numbers.sequence(shape)
    share, sites = -(-every // width), numbers.num_layers * work(name).schedule.computed["spatial"]
    each = 2 * numbers.hidden_size * 2 * (3 * share + every / width)
    assert said.all_to_all == CollectiveCount(calls=2 * sites, bytes=round(sites * each))
    assert said.all_gather == CollectiveCount(
        calls=1, bytes=(share - numbers.joined_text) * 16 * 4 * LATENT_BYTES[name]
    )
    held = sum(kind != "mlp" for kind in numbers.sites) * numbers.num_layers
    assert said.cache_bytes == held * 2 * share * numbers.hidden_size * 2
    assert said.all_to_all.bytes >= work(name).mean_all_to_all_bytes(width)
    assert said.all_to_all.bytes == pytest.approx(work(name).mean_all_to_all_bytes(width), rel=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_halves_swap_predictions_in_the_precision_of_the_weights(name):
    numbers, shape = MODELS[name]
    share = -(-numbers.sequence(shape) // 2) - numbers.joined_text
    swaps = dataclasses.replace(work(name), guidance="split").forecast(4).swaps
    assert swaps == CollectiveCount(calls=50, bytes=50 * share * 16 * 4 * 2)


@pytest.mark.parametrize("name", MODELS)
def test_one_worker_sends_nothing(name):
    said = work(name).forecast(1)
    assert said.all_to_all.calls == said.all_gather.calls == work(name).mean_all_to_all_bytes(1) == 0


@pytest.mark.parametrize("name", MODELS)
def test_two_passes_make_twice_the_calls_for_the_same_bytes(name):
    numbers, shape = MODELS[name]
    schedule = work(name).schedule
    both, one = (forecast(numbers, shape, schedule, 4, guidance=guidance) for guidance in ("batched", "two_pass"))
    assert one.all_to_all == CollectiveCount(calls=2 * both.all_to_all.calls, bytes=both.all_to_all.bytes)
    assert one.cache_bytes == both.cache_bytes


@pytest.mark.parametrize("name", MODELS)
def test_a_gang_shares_out_the_attention_evenly_and_a_wider_one_needs_less_memory(name):
    alone, gang = work(name).site("spatial"), work(name).site("spatial", 4)
    assert gang.core * 4 == alone.core
    assert gang.projections == pytest.approx(alone.projections / 4, rel=1e-3)
    peaks = [work(name).peak_bytes(width) for width in (2, 4, 12)]
    assert peaks == sorted(peaks, reverse=True)


def test_a_width_is_chosen_among_the_legal_ones():
    gpu = GpuSpec(id="h200", bf16_tflops=989, fp32_tflops=67, memory_gb=141, memory_gb_s=4800, link_gb_s=450)
    decision = choose_width(
        work("wan"), Capacity(workers=8, memory_bytes=gpu.memory_bytes), assume(gpu, 2), Goal(latency_s=1)
    )
    assert decision.width == 6
    assert set(decision.seconds) == {1, 2, 3, 4, 6}
    split = dataclasses.replace(work("wan"), guidance="split")
    decision = choose_width(
        split, Capacity(workers=8, memory_bytes=gpu.memory_bytes), assume(gpu, 2), Goal(latency_s=1)
    )
    # 8 are two halves of 4; its 12 heads do not divide by 8.
    assert decision.width == 8
    assert set(decision.seconds) == {1, 2, 3, 4, 6, 8}
    alone = dataclasses.replace(split, branches=1)
    assert alone.gang_widths == WAN_1_3B.legal_widths(alone.shape)


def test_what_fits_nowhere_is_refused_with_frames_that_the_model_makes():
    small = Capacity(workers=1, memory_bytes=25 * 10**9)
    gpu = GpuSpec(id="small", bf16_tflops=100, fp32_tflops=50, memory_gb=25, memory_gb_s=1000, link_gb_s=30)
    with pytest.raises(RequestError, match=r"what would fit: ") as refused:
        choose_width(work("cogvideox"), small, assume(gpu, 2), Goal())
    *uncached, smaller, shorter = str(refused.value).partition("what would fit: ")[2].split(" or ")
    assert uncached[0] == "pab=off"
    assert smaller.endswith("with 49 frames")
    frames = int(shorter.split()[0])
    assert frames < 49
    COGVIDEOX_5B.check(dataclasses.replace(COGVIDEOX_SHAPE, num_frames=frames))
