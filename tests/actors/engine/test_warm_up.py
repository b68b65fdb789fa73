"""What was compiled before the first request is all that it needs."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch._dynamo.utils import counters

from actors.engine import Engine, RunOptions, VideoRequest, inspect_model
from actors.engine.blocks import Blocks
from actors.engine.card import ModelCard
from actors.engine.families.load import load_family
from actors.engine.local_gang import run_gang
from cluster.pab import PabConfig
from tests.tiny_joint_models import save_tiny_cogvideox
from tests.tiny_open_sora import save_tiny_open_sora

PAB = PabConfig(spatial=2, temporal=2, cross=3, timesteps=(100, 900))


def request(size: int, frames: int, prompt: str = "a red circle") -> VideoRequest:
    return VideoRequest(
        prompt=prompt,
        height=size,
        width=size,
        num_frames=frames,
        steps=8,
        guidance_scale=4.0,
        model="tiny",
        model_revision="test",
        pab=PAB,
    )


def traced(card: ModelCard) -> Engine:
    """An engine whose blocks torch traces to graphs, which is what is bounded and counted, and runs as they are."""
    return Engine(load_family(card, "cpu", torch.float32, Blocks("eager")), card)


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()
    counters.clear()


@pytest.mark.parametrize("guidance", ["batched", "two_pass"])
def test_a_warm_worker_compiles_nothing_for_its_first_video(tiny_model: Path, guidance: str) -> None:
    card = inspect_model(tiny_model)
    options = RunOptions(guidance=guidance, return_latents=True)  # type: ignore[arg-type]
    engine = traced(card)
    warmth = engine.warm_up(request(32, 16, prompt="another, longer prompt"), options)
    assert warmth.graphs == counters["stats"]["unique_graphs"] > 2
    first = engine.generate(request(32, 16), options=options)
    assert counters["stats"]["unique_graphs"] == first.report.graphs == warmth.graphs
    plain = Engine.load(str(tiny_model)).generate(request(32, 16), options=options)
    assert first.latents is not None
    assert plain.latents is not None
    assert np.array_equal(first.latents, plain.latents)


def test_where_nothing_is_compiled_nothing_is_warmed(tiny_model: Path) -> None:
    engine = Engine.load(str(tiny_model))
    assert engine.warm_up(request(32, 16), RunOptions(), width=2).graphs == 0
    assert counters["stats"]["unique_graphs"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("family", "guidance"), [("latte", "batched"), ("cogvideox", "split")])
def test_a_rank_of_a_warm_gang_compiles_nothing(tiny_model: Path, tmp_path: Path, family: str, guidance: str) -> None:
    """16 frames do not divide over 3 ranks, nor 61 tokens over 2 or 3: the shares differ."""
    model = tiny_model if family == "latte" else save_tiny_cogvideox(tmp_path / "2b", rotary=False)
    wanted = request(32, 16) if family == "latte" else request(48, 9)
    width = 4 if guidance == "split" else 3
    options = RunOptions(guidance=guidance)  # type: ignore[arg-type]
    task = partial(_graphs, wanted=wanted, options=options)
    for warm, after in run_gang(Engine.load(str(model)), width, task):
        assert warm == after > 0


@pytest.mark.slow
def test_a_gang_compiles_the_blocks_that_ask_nobody(tmp_path: Path) -> None:
    """Of Open-Sora without PAB: the spatial ones."""
    engine = traced(inspect_model(save_tiny_open_sora(tmp_path / "model")))
    wanted = replace(request(144, 34), pab=PabConfig())
    assert engine.warm_up(wanted, RunOptions(), width=2).graphs == counters["stats"]["unique_graphs"] == 1


def _graphs(copy: Engine, group: dist.ProcessGroup, wanted: VideoRequest, options: RunOptions) -> list[tuple[int, int]]:
    """Of each rank: its graphs when it is warm, and after its first video."""
    engine = traced(copy.card)
    warm = engine.warm_up(wanted, options, group.size()).graphs
    engine.generate(wanted, options=options, group=group)
    everyones: list[tuple[int, int]] = [(0, 0)] * group.size()
    dist.all_gather_object(everyones, (warm, counters["stats"]["unique_graphs"]), group=group)
    return everyones
