"""STDiT3 driven site by site: its own predictions, broadcasts that run and send nothing, gangs like one worker."""

import pytest
import torch

from actors.engine.cache import BroadcastCache
from actors.engine.models.open_sora import OpenSoraDenoiser
from cluster.forecast import CollectiveCount
from cluster.pab import MlpReuse, PabConfig
from cluster.schedule import BroadcastSchedule
from tests.actors.engine.models.frames import (
    FPS,
    LAYERS,
    PABS,
    TEXT,
    TEXT_WIDTH,
    open_sora,
    open_sora_model,
    run,
    run_gangs,
)

NAME, WIDTHS = "open-sora", (2, 3)
SIZES = {"whole patches": (4, 6), "partly filled ones": (5, 9)}
TIMES = (700.0, 500.0)
# At the second of two steps every site of the first layer broadcasts, and of the second layer all but the MLPs.
BROADCAST = BroadcastSchedule.build(
    PabConfig(spatial=2, temporal=2, cross=2, mlp=MlpReuse(blocks=(0,), starts=(700,), steps=1)), TIMES
)


@pytest.fixture(scope="module")
def gangs(tmp_path_factory):
    return run_gangs([NAME], WIDTHS, tmp_path_factory.mktemp("open_sora"))


@pytest.fixture(scope="module")
def alone():
    return {pab: run(NAME, pab) for pab in PABS}


class Pair:
    """Two texts' latents, and a denoiser over them that keeps its cache."""

    def __init__(self, model, height, width, schedule):
        generator = torch.Generator().manual_seed(3)
        self.latents = torch.randn(2, 4, 5, height, width, generator=generator)
        self.text = torch.randn(2, TEXT, TEXT_WIDTH, generator=generator)
        self.pixels = {"height": 8 * height, "width": 8 * width}
        self.cache = BroadcastCache(schedule)
        self._denoiser = OpenSoraDenoiser(model, **self.pixels, fps=FPS)
        self._parallel = self._denoiser.share_out(self.latents, self.text)

    def predict(self, step, time):
        text_BLD, timestep = self._denoiser.project_text(self.text), torch.tensor(time)
        return self._denoiser(self.latents, timestep, text_BLD, step=step, cache=self.cache, parallel=self._parallel)


def step_by_hand(model, pair, time, stored=None):
    """The velocity at `time` and each site's output, which are those `stored` where they are broadcast."""
    outputs = []

    def site(kind, layer, compute):
        broadcast = stored is not None and not BROADCAST.computes(kind, 1, layer)
        outputs.append(stored[len(outputs)] if broadcast else compute())
        return outputs[-1]

    embedded, conditioning = model.condition(torch.tensor([time] * 2), torch.tensor([float(FPS)] * 2))
    x, text, rotation = model.embed(pair.latents, **pair.pixels), model.project_text(pair.text), model.rope(5)
    for layer in range(LAYERS):
        for kind, block in (("spatial", model.spatial_blocks[layer]), ("temporal", model.temporal_blocks[layer])):
            m, x0 = block.modulation(conditioning), x
            x1 = x0 + m.gate * site(kind, layer, lambda: block.attend(block.prepare(x0, m), rotation))  # noqa: B023
            x2 = x1 + site("cross", layer, lambda: block.cross(x1, text))  # noqa: B023
            x = x2 + m.gate_mlp * site("mlp", layer, lambda: block.feed_forward(x2, m))  # noqa: B023
    return model.finish(x, embedded, pair.latents.shape[3:])[:, :4], outputs


def assert_close(ours, theirs):
    """Within 1e-5 of the largest value: float32 sums in another order."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_without_broadcasts_it_predicts_what_the_model_predicts(size):
    model = open_sora_model()
    pair = Pair(model, *size, BroadcastSchedule.build(PabConfig(), TIMES))
    fps = torch.tensor([float(FPS)] * 2)
    theirs = model(pair.latents, torch.tensor([640.0] * 2), pair.text, fps_B=fps, **pair.pixels)
    assert_close(pair.predict(0, 640.0), theirs[:, :4])
    assert pair.cache.peak_bytes == 0


def test_a_broadcast_output_meets_the_gate_of_the_step_that_reads_it():
    model = open_sora_model()
    pair = Pair(model, 5, 9, BROADCAST)
    _, stored = step_by_hand(model, pair, TIMES[0])
    expected, _ = step_by_hand(model, pair, TIMES[1], stored)
    pair.predict(0, TIMES[0])
    assert_close(pair.predict(1, TIMES[1]), expected)
    computed, _ = step_by_hand(model, pair, TIMES[1])
    assert (expected - computed).abs().max() > 0.01 * computed.abs().max(), "a broadcast changes what is predicted"
    assert pair.cache.bytes == 0


def test_a_site_that_broadcasts_runs_none_of_its_modules():
    model, ran = open_sora_model(), set()
    pair = Pair(model, 5, 9, BROADCAST)
    pair.predict(0, TIMES[0])
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.add(name))
    pair.predict(1, TIMES[1])
    blocks = {".".join(name.split(".")[:3]) for name in ran if "_blocks." in name}
    parts = ("norm2", "mlp")
    assert blocks == {f"{kind}_blocks.1.{part}" for kind in ("spatial", "temporal") for part in parts}


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_a_gang_makes_what_one_worker_makes(gangs, alone, pab, width):
    expected = alone[pab].latents
    assert (gangs[NAME, pab, width].latents - expected).abs().max() <= 1e-4 * expected.std()


@pytest.mark.parametrize("pab", ["pab", "mlp"])
def test_what_is_broadcast_changes_the_video(alone, pab):
    expected = alone["off"].latents
    assert (alone[pab].latents - expected).abs().max() > 1e-2 * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_what_is_sent_and_held_is_what_was_forecast(gangs, pab, width):
    said, gang = open_sora().forecast(pab, width), gangs[NAME, pab, width]
    assert gang.all_to_all == said.all_to_all
    assert gang.all_gather == said.all_gather
    assert gang.cache_peak_bytes == said.cache_bytes


@pytest.mark.parametrize("pab", PABS)
def test_one_worker_sends_nothing_and_holds_what_was_forecast(alone, pab):
    assert alone[pab].all_to_all == alone[pab].all_gather == CollectiveCount()
    assert alone[pab].cache_peak_bytes == open_sora().forecast(pab, 1).cache_bytes


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_a_step_that_broadcasts_temporal_attention_calls_no_collective(gangs, pab, width):
    expected = [2 * LAYERS * computes for computes in open_sora().schedule(pab).table["temporal"]]
    assert gangs[NAME, pab, width].collectives == expected
