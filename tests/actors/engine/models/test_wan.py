"""Wan 2.1 driven from outside: diffusers' own predictions, broadcasts that send nothing, gangs like one worker."""

import pytest
import torch
from diffusers import WanTransformer3DModel

from actors.engine.cache import BroadcastCache
from actors.engine.models.wan import WanDenoiser
from cluster.errors import ConfigError
from cluster.forecast import CollectiveCount
from tests.actors.engine.models.joint import (
    DENOISERS,
    HEADS,
    LAYERS,
    PABS,
    TIMES,
    noise,
    run,
    run_gangs,
    schedule,
    texts,
    wan,
)

WIDTHS = (2, 3, 4)
HIDDEN, TOKENS, PATCH = HEADS * 12, 175, 16


@pytest.fixture(scope="module")
def gangs(tmp_path_factory):
    return run_gangs(["wan"], WIDTHS, tmp_path_factory.mktemp("wan"))


@pytest.fixture(scope="module")
def alone():
    return {pab: run(DENOISERS["wan"](), noise("wan"), pab) for pab in PABS}


def predict(denoiser, latents, timestep):
    cache, text_BLD = BroadcastCache(schedule("off")), denoiser.project_text(texts())
    parallel = denoiser.share_out(latents, text_BLD)
    patches = parallel.share(latents.expand(2, -1, -1, -1, -1))
    return parallel.gather(denoiser(patches, timestep, text_BLD, step=0, cache=cache, parallel=parallel))


@pytest.mark.parametrize("size", [(5, 10, 14), (2, 6, 4)])
def test_it_predicts_what_diffusers_predicts(size):
    model, timestep = wan(), torch.tensor(640.0)
    latents = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(3))
    expected = model(latents.expand(2, -1, -1, -1, -1), timestep.expand(2), texts(), return_dict=False)[0]
    assert (predict(WanDenoiser(model), latents, timestep) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_weights_in_bfloat16_predict_what_diffusers_predicts():
    model, latents = wan().bfloat16(), noise("wan").bfloat16()
    for part in model.modules():
        if type(part).__name__ in ("FP32LayerNorm", "TimestepEmbedding"):
            part.float()
    text, timestep = texts().bfloat16(), torch.tensor(640.0)
    expected = model(latents.expand(2, -1, -1, -1, -1), timestep.expand(2), text, return_dict=False)[0]
    denoiser = WanDenoiser(model)
    text_BLD = denoiser.project_text(text)
    parallel = denoiser.share_out(latents, text_BLD)
    cache, patches = BroadcastCache(schedule("off")), parallel.share(latents.expand(2, -1, -1, -1, -1))
    ours = parallel.gather(denoiser(patches, timestep, text_BLD, step=0, cache=cache, parallel=parallel))
    # bf16 keeps 8 bits; the patch embedding is a matrix product here and a convolution there.
    assert (ours - expected).abs().max() <= 0.02 * expected.abs().max()


def test_a_schedule_that_computes_everything_changes_no_bit(alone):
    denoiser = DENOISERS["wan"]()
    x_1CThw = noise("wan")
    for time in TIMES:
        uncond, cond = predict(denoiser, x_1CThw, torch.tensor(time)).split(1)
        x_1CThw = x_1CThw - 0.15 * (uncond + 4 * (cond - uncond))
    assert torch.equal(alone["off"].latents, x_1CThw)
    assert alone["off"].cache_peak_bytes == 0


def test_a_broadcast_repeats_the_stored_output(monkeypatch):
    """Two like steps, of which the second broadcasts self-attention and cross attention, predict the same."""
    model = wan()
    denoiser = WanDenoiser(model)
    cache, text_BLD, latents = BroadcastCache(schedule("pab")), denoiser.project_text(texts()), noise("wan")
    parallel = denoiser.share_out(latents, text_BLD)
    patches = parallel.share(latents.expand(2, -1, -1, -1, -1))

    def step(step):
        return denoiser(patches, torch.tensor(500.0), text_BLD, step=step, cache=cache, parallel=parallel)

    table = schedule("pab").table
    assert [table[kind][:2] for kind in ("spatial", "cross")] == [(True, False)] * 2
    stored = step(0)
    monkeypatch.setattr(parallel, "attend", None)
    for block in model.blocks:
        monkeypatch.setattr(block.attn2, "processor", None)
    assert torch.equal(step(1), stored)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_a_gang_makes_what_one_worker_makes(gangs, alone, pab, width):
    expected = alone[pab].latents
    assert (gangs["wan", pab, width].latents - expected).abs().max() <= 1e-4 * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_what_is_sent_is_what_paper_says(gangs, pab, width):
    sites = LAYERS * schedule(pab).computed["spatial"]
    share = -(-TOKENS // width)
    each = 2 * HIDDEN * 4 * (3 * share + TOKENS / width)
    gang = gangs["wan", pab, width]
    assert gang.all_to_all == CollectiveCount(calls=2 * sites, bytes=round(sites * each))
    assert gang.all_gather == CollectiveCount(calls=1, bytes=share * PATCH * 4)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_a_step_that_broadcasts_self_attention_calls_no_collective(gangs, pab, width):
    expected = [2 * LAYERS * computes for computes in schedule(pab).table["spatial"]]
    assert gangs["wan", pab, width].collectives == expected


def test_a_model_that_wants_an_image_is_refused():
    with torch.device("meta"):
        model = WanTransformer3DModel(num_layers=1, image_dim=32, added_kv_proj_dim=32)
    with pytest.raises(ConfigError, match="wants an image"):
        WanDenoiser(model)
