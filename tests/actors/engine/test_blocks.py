"""Compiled blocks: the same video, and one graph for each kind of block and each pattern of what it broadcasts."""

from collections.abc import Callable

import pytest
import torch
from torch._dynamo.utils import counters

from actors.engine.blocks import Blocks
from actors.engine.cache import BroadcastCache
from cluster.pab import Kind, MlpReuse, PabConfig
from cluster.schedule import BroadcastSchedule
from tests.actors.engine.models import frames, joint

TIMES = (999.0, 850.0, 700.0, 550.0, 400.0, 250.0, 100.0)
BLOCKS: dict[str, tuple[tuple[Kind, ...], ...]] = {
    "cogvideox-2b": (("spatial", "mlp"),),
    "cogvideox-5b": (("spatial", "mlp"),),
    "wan": (("spatial", "cross", "mlp"),),
    "open-sora": (("spatial", "cross", "mlp"), ("temporal", "cross", "mlp")),
    "open-sora-plan": (("spatial", "cross", "mlp"), ("temporal", "mlp")),
}
"""The sites of each kind of block; Open-Sora-Plan's are Latte's."""
PABS = {
    "off": PabConfig(),
    "pab": PabConfig(spatial=2, temporal=3, cross=4, timesteps=(150, 900)),
    "mlp": PabConfig(spatial=3, temporal=2, cross=2, mlp=MlpReuse(blocks=(1,), starts=(700,), steps=2)),
    "fp8": PabConfig(spatial=2, temporal=3, cross=4, timesteps=(150, 900), cache_dtype="fp8"),
}


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()
    counters.clear()


@pytest.mark.parametrize(
    ("name", "pab"),
    [
        *((name, "pab") for name in BLOCKS),
        *(("wan", "mlp"), ("cogvideox-2b", "fp8")),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("open-sora", "mlp"), ("open-sora-plan", "fp8"))),
        *(pytest.param(name, "off", marks=pytest.mark.slow) for name in ("cogvideox-5b", "open-sora")),
    ],
)
def test_blocks_trace_whole_to_one_graph_a_pattern_and_make_the_same(name: str, pab: str) -> None:
    schedule = BroadcastSchedule.build(PABS[pab], TIMES)
    traces = Blocks("eager")
    plain, traced = (denoised(name, schedule, blocks) for blocks in (Blocks(), traces))
    assert torch.equal(plain, traced)
    layers = joint.LAYERS if name in joint.DENOISERS else frames.LAYERS
    assert counters["stats"]["unique_graphs"] == sum(patterns(schedule, kinds, layers) for kinds in BLOCKS[name])
    assert traces.graphs == counters["stats"]["unique_graphs"]
    assert not counters["graph_break"]


@pytest.mark.parametrize("name", ["open-sora", pytest.param("open-sora-plan", marks=pytest.mark.slow)])
def test_prompts_of_every_length_share_their_graphs(name: str) -> None:
    schedule = BroadcastSchedule.build(PABS["pab"], TIMES)
    traces = Blocks("eager")
    denoised(name, schedule, traces)
    graphs = counters["stats"]["unique_graphs"]
    for more in (1, 4):
        plain, traced = (denoised(name, schedule, blocks, more_text=more) for blocks in (Blocks(), traces))
        assert torch.equal(plain, traced)
    assert counters["stats"]["unique_graphs"] == traces.graphs == graphs


def test_what_would_need_more_graphs_than_allowed_runs_as_it_is_written() -> None:
    """It is our bound that counts: torch's own is of a thread, and a model may run in another one."""
    schedule = BroadcastSchedule.build(PABS["pab"], TIMES)
    few = Blocks("eager", most_graphs=3)
    with torch._dynamo.config.patch(recompile_limit=1):
        plain, traced = (denoised("wan", schedule, blocks) for blocks in (Blocks(), few))
    assert torch.equal(plain, traced)
    assert counters["stats"]["unique_graphs"] == few.graphs == 3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pab"), [("wan", "pab"), ("open-sora-plan", "fp8")])
def test_compiled_blocks_make_nearly_the_same(name: str, pab: str) -> None:
    schedule = BroadcastSchedule.build(PABS[pab], TIMES)
    plain, compiled = (denoised(name, schedule, blocks) for blocks in (Blocks(), Blocks("inductor")))
    # In 8 bits what lies between two numbers may fall to either; the 8 bits themselves are a hundredth off.
    tolerance = 2e-3 if pab == "fp8" else 1e-4
    assert (compiled - plain).abs().max() <= tolerance * plain.std()


def patterns(schedule: BroadcastSchedule, kinds: tuple[Kind, ...], layers: int) -> int:
    """How many different blocks with these sites there are in a run: what they compute, and what they hand out."""
    blocks = {
        tuple((schedule.computes(kind, step, layer), schedule.stores(kind, step, layer)) for kind in kinds)
        for step in range(schedule.num_steps)
        for layer in range(layers)
    }
    return len(blocks)


@torch.no_grad()
def denoised(name: str, schedule: BroadcastSchedule, blocks: Blocks, *, more_text: int = 0) -> torch.Tensor:
    """A few steps along what the model predicts; the texts are longer by some of their tokens."""
    denoiser, x, text = sample(name)
    text = torch.cat([text, text[:, :more_text]], dim=1)
    denoiser._blocks = blocks
    text_BLD, cache = denoiser.project_text(text), BroadcastCache(schedule)
    parallel = denoiser.share_out(x, text_BLD)
    part = parallel.share(x).expand(2, *(-1,) * (parallel.share(x).ndim - 1))
    for step, time in enumerate(TIMES):
        part = part - 0.1 * denoiser(part, torch.tensor(time), text_BLD, step=step, cache=cache, parallel=parallel)
    assert cache.bytes == 0
    return part


def sample(name: str) -> tuple[Callable[..., torch.Tensor], torch.Tensor, torch.Tensor]:
    """A denoiser, latents, and the features of two texts."""
    if name in joint.DENOISERS:
        return joint.DENOISERS[name](), joint.noise(name), joint.texts()
    made = frames.SAMPLES[name]()
    return made.denoiser, made.noise, torch.cat([made.negative_text, made.text])
