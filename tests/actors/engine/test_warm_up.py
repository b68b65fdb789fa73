"""What was compiled before the first request is all that it needs."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch._dynamo.utils import counters

from actors.engine import Engine, RankOutput, RunOptions, VideoRequest, inspect_model
from actors.engine.blocks import Blocks
from actors.engine.card import ModelCard
from actors.engine.families.load import load_family
from actors.engine.local_gang import run_gang
from cluster.forecast import CollectiveCount
from cluster.pab import PabConfig
from tests.tiny_joint_models import save_tiny_cogvideox, save_tiny_wan
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


def traced(card: ModelCard, backend: str = "eager") -> Engine:
    """An engine whose blocks torch traces to graphs, which is what is bounded and counted, and runs as they are."""
    return Engine(load_family(card, "cpu", torch.float32, Blocks(backend)), card)


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
@pytest.mark.parametrize(
    ("family", "guidance"), [("latte", "batched"), ("cogvideox", "split"), ("open-sora", "two_pass")]
)
def test_a_rank_of_a_warm_gang_compiles_nothing_and_its_graphs_exchange(
    tiny_model: Path, tmp_path: Path, family: str, guidance: str
) -> None:
    """16 and 10 frames do not divide over 3 ranks, nor 61 tokens over the 2 of a half: the shares differ."""
    width = 4 if guidance == "split" else 3
    options = RunOptions(guidance=guidance, return_latents=True)  # type: ignore[arg-type]
    if family == "latte":
        model, wanted = tiny_model, request(32, 16)
    elif family == "cogvideox":
        model, wanted = save_tiny_cogvideox(tmp_path / "2b", rotary=False), request(48, 9)
    else:
        model, wanted = save_tiny_open_sora(tmp_path / "model"), request(144, 34)
    engine = Engine.load(str(model))
    ranks = run_gang(engine, width, partial(_followed, backend="eager", wanted=wanted, options=options))
    for rank in ranks:
        assert rank.warm == rank.after > 0
        assert rank.traced == rank.plain, "what goes between the ranks is the same, and counted, in a graph"
    assert apart(ranks[0].latents, engine.generate(wanted, options=options).latents) <= 1e-4


@pytest.mark.slow
def test_a_gang_of_compiled_blocks_makes_what_one_worker_makes(tmp_path: Path) -> None:
    model, wanted = save_tiny_wan(tmp_path / "wan"), request(32, 9)
    options = RunOptions(guidance="batched", return_latents=True)
    engine = Engine.load(str(model))
    ranks = run_gang(engine, 2, partial(_followed, backend="inductor", wanted=wanted, options=options))
    assert apart(ranks[0].latents, engine.generate(wanted, options=options).latents) <= 1e-4
    assert all(rank.traced == rank.plain and rank.warm == rank.after > 0 for rank in ranks)


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What a rank saw."""

    warm: int
    """Graphs when it was warm."""
    after: int
    """Those after videos of two process groups, as torch counts them."""
    traced: tuple[CollectiveCount, ...]
    plain: tuple[CollectiveCount, ...]
    """What it handed over, with graphs and without."""
    latents: np.ndarray | None
    """Of rank 0."""


def _followed(
    copy: Engine, group: dist.ProcessGroup, backend: str, wanted: VideoRequest, options: RunOptions
) -> list[Followed]:
    """Of each rank."""
    engine = traced(copy.card, backend)
    warm = engine.warm_up(wanted, options, group.size()).graphs
    made = engine.generate(wanted, options=options, group=group)
    engine.generate(wanted, options=options, group=dist.new_group(list(range(group.size()))))
    after = counters["stats"]["unique_graphs"]
    plain = copy.generate(wanted, options=options, group=group)
    found = Followed(warm=warm, after=after, traced=_handed_over(made), plain=_handed_over(plain), latents=made.latents)
    everyones = [found] * group.size()
    dist.all_gather_object(everyones, found, group=group)
    return everyones


def apart(found: np.ndarray | None, wanted: np.ndarray | None) -> float:
    """The largest difference, in standard deviations of what is wanted."""
    assert found is not None
    assert wanted is not None
    return float(np.abs(found - wanted).max() / wanted.std())


def _handed_over(made: RankOutput) -> tuple[CollectiveCount, ...]:
    return made.report.all_to_all, made.report.all_gather, made.report.swaps
