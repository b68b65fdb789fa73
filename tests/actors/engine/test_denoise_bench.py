"""The denoising loop as it is benchmarked: the same video by ours and diffusers', and what is counted of it."""

import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode

from actors.engine import denoise_bench, random_models
from actors.engine.blocks import Blocks
from actors.engine.denoise_bench import DenoiseBench
from actors.engine.denoise_variants import baseline, missing_variants
from actors.engine.device_time import matmul_rate
from actors.engine.diffusers_loop import timestep_window
from actors.engine.random_models import random_model, sampler_of
from actors.engine.step_patterns import StepPattern, count_graphs, step_patterns
from cluster.errors import ConfigError, OutOfMemory
from cluster.pab import MlpReuse, PabConfig
from cluster.schedule import BroadcastSchedule
from tests.actors.engine.tiny_denoise import LATTE, PAB, TINY

THEIRS = ("latte", "cogvideox", "wan")


def apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, over the deviation of `theirs`."""
    return ((ours - theirs).abs().max() / theirs.std()).item()


@pytest.mark.parametrize("guidance", ["batched", "two_pass"])
@pytest.mark.parametrize("family", THEIRS)
def test_ours_without_pab_makes_what_diffusers_makes(family: str, guidance: str) -> None:
    bench = DenoiseBench(TINY[family].case(guidance=guidance))
    assert apart(bench.latents("off"), bench.latents("diffusers-off")) <= 1e-4


@pytest.mark.parametrize("pab", [PAB, PabConfig(spatial=2, temporal=2, cross=3, window=(0.2, 0.9))])
@pytest.mark.parametrize("family", ["latte", "cogvideox"])
def test_ours_with_pab_makes_what_diffusers_makes_with_its_own(family: str, pab: PabConfig) -> None:
    bench = DenoiseBench(TINY[family].case(pab))
    ours = bench.latents("pab")
    difference = apart(ours, bench.latents("diffusers-pab"))
    assert difference <= 1e-4
    assert difference < 0.05 * apart(ours, bench.latents("off"))


@pytest.mark.parametrize("family", TINY)
def test_in_bfloat16_all_variants_make_nearly_the_same(family: str) -> None:
    case = TINY[family].case(dtype=torch.bfloat16)
    bench, missing = DenoiseBench(case), missing_variants(family, case.model.numbers, PAB)
    off = bench.latents("off").float()
    for name in ("pab", "diffusers-off", "diffusers-pab"):
        if name not in missing:
            # bf16 keeps 8 bits, which each step rounds to anew.
            assert apart(bench.latents(name).float(), off) <= 0.2, name


def test_rotary_positions_are_those_of_diffusers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_models, "_FIXED_POSITIONS", 0)
    case = TINY["cogvideox"].case()
    assert case.model.transformer.config.use_rotary_positional_embeddings
    bench = DenoiseBench(case)
    assert apart(bench.latents("off"), bench.latents("diffusers-off")) <= 1e-4


def test_diffusers_hooks_leave_nothing_behind() -> None:
    case = TINY["latte"].case()
    bench, modules = DenoiseBench(case), list(case.model.transformer.modules())
    before, names = bench.latents("off"), [set(module.__dict__) for module in modules]
    bench.latents("diffusers-pab")
    assert [set(module.__dict__) for module in modules] == names
    assert torch.equal(bench.latents("off"), before)


def test_what_diffusers_hooks_keep_goes_with_them() -> None:
    case = TINY["latte"].case()
    bench, modules = DenoiseBench(case), list(case.model.transformer.modules())
    with bench._ready("diffusers-pab") as run:
        run()
        states = [hook.state for module in modules if (hook := _pab_hook(module))]
        states[0].cache = torch.zeros(1)
        kept = weakref.ref(states[0].cache)
    assert len(states) > 2
    assert kept() is None


def _pab_hook(module: torch.nn.Module) -> Any:
    registry = getattr(module, "_diffusers_hook", None)
    return registry and next((hook for hook in registry.hooks.values() if hasattr(hook, "state")), None)


@pytest.mark.parametrize("family", TINY)
def test_every_family_is_measured(family: str) -> None:
    case = TINY[family].case()
    there = [name for name in ("off", "pab") if name not in missing_variants(family, case.model.numbers, PAB)]
    done: list[int] = []
    off, pab = DenoiseBench(case).measure(there, 2, lambda: done.append(1))
    assert len(done) == 2 * (1 + 2)
    assert pab.flops < off.flops
    for row in (off, pab):
        assert row.seconds > 0
        assert len(row.all_seconds) == 2
        assert row.warmup_seconds > 0
        assert row.overhead is not None
        assert row.overhead > 0
        assert row.graphs is row.peak_gib is None


@pytest.mark.parametrize("family", TINY)
def test_a_run_does_the_operations_that_are_counted_of_it(family: str) -> None:
    bench = DenoiseBench(TINY[family].case())
    with bench._ready("pab") as run, FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    # torch does not count softmax(QK)V on the CPU; the numbers do not count Open-Sora's embedding of frames a second.
    parts = bench.workload("pab").flops()
    counted = sum(parts[name] for name in ("projections", "mlp", "ends"))
    assert counter.get_total_flops() == pytest.approx(counted, rel=5e-4 if family == "open-sora" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("family", TINY)
def test_graphs_are_counted_before_they_are_made(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(denoise_bench, "Blocks", lambda backend: Blocks("eager"))
    case = TINY[family].case(replace(PAB, mlp=MlpReuse(blocks=(1,), starts=(700,), steps=2)))
    bench = DenoiseBench(case)
    assert torch.equal(bench.latents("compiled-pab"), bench.latents("pab"))
    graphs = count_graphs(bench.schedule("compiled-pab"), case.model.numbers)
    assert counters["stats"]["unique_graphs"] == graphs
    # The steps that are timed alone are of graphs that the run has made already.
    (row,) = bench.measure(["compiled-pab"], 1)
    assert row.graphs == graphs
    assert counters["stats"]["unique_graphs"] == graphs


@pytest.mark.slow
def test_compiled_blocks_make_nearly_the_same_after_diffusers_had_its_hooks_in() -> None:
    torch._dynamo.reset()
    counters.clear()
    bench = DenoiseBench(TINY["latte"].case())
    compiled = bench.latents("compiled-pab")
    made = counters["stats"]["unique_graphs"]
    bench.latents("diffusers-pab")
    assert torch.equal(bench.latents("compiled-pab"), compiled)
    assert counters["stats"]["unique_graphs"] == made
    assert apart(compiled, bench.latents("pab")) <= 1e-3


def test_steps_that_compute_and_keep_the_same_are_one_pattern() -> None:
    schedule = BroadcastSchedule.build(PabConfig(spatial=2, temporal=4), range(8, 0, -1))
    patterns = step_patterns(schedule, LATTE)
    assert sum(patterns.values()) == 8
    assert sorted(patterns.values()) == [2, 2, 2, 2]
    alone = next(iter(patterns)).alone(schedule, 0)
    assert StepPattern.of(alone, 1, LATTE) == StepPattern.of(schedule, 0, LATTE)
    assert alone.timesteps == (8.0, 8.0, 8.0)


def test_diffusers_gets_the_window_in_timesteps() -> None:
    schedule = BroadcastSchedule.build(PabConfig(), (900, 700, 500, 300))
    low, high = timestep_window(PabConfig(spatial=2, window=(0.25, 0.75)), schedule)
    assert [low < time < high for time in schedule.timesteps] == [False, True, True, False]
    assert timestep_window(PAB, schedule) == (50, 990)
    low, high = timestep_window(PabConfig(spatial=2), schedule)
    assert low < 0 < 1000 < high


def test_variants_that_there_are_not_have_a_reason() -> None:
    assert set(missing_variants("latte", LATTE, PabConfig())) == {"pab", "compiled-pab", "diffusers-pab"}
    assert missing_variants("latte", LATTE, PAB) == {}
    assert set(missing_variants("open-sora", LATTE, PAB)) == {"diffusers-off", "diffusers-pab"}
    assert "guidance vanishes" in missing_variants("wan", LATTE, PAB)["diffusers-pab"]
    only_mlp = PabConfig(mlp=MlpReuse(blocks=(0,), starts=(700,), steps=2))
    assert set(missing_variants("latte", LATTE, only_mlp)) == {"diffusers-pab"}


def test_ratios_are_to_diffusers_where_it_is_measured() -> None:
    assert baseline(["off", "pab", "diffusers-off"]) == "diffusers-off"
    assert baseline(["pab", "off"]) == "off"
    assert baseline(["pab"]) is None


def test_bfloat16_leaves_what_diffusers_keeps_in_float32() -> None:
    tiny = TINY["wan"]
    model = random_model("wan", tiny.numbers, tiny.shape, sampler_of(tiny.sampler), device="cpu", dtype=torch.bfloat16)
    block = model.transformer.blocks[0]
    assert block.scale_shift_table.dtype == torch.float32
    assert block.attn1.to_q.weight.dtype == model.dtype == torch.bfloat16
    assert model.noise().dtype == torch.float32
    assert {text.dtype for text in model.texts(2)} == {torch.bfloat16}


def test_an_unknown_family_is_told() -> None:
    tiny = TINY["latte"]
    with pytest.raises(ConfigError, match="no family 'lotte'"):
        random_model("lotte", tiny.numbers, tiny.shape, None, device="cpu", dtype=torch.float32)


def test_what_does_not_fit_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.\nmore")

    monkeypatch.setattr(denoise_bench, "timed", full)
    with pytest.raises(OutOfMemory, match="96x64x4 does not fit the device"):
        DenoiseBench(TINY["latte"].case()).measure(["off"], 1)


def test_a_matrix_product_has_a_rate() -> None:
    assert matmul_rate(torch.device("cpu"), torch.float32) > 1e8
