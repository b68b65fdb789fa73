"""CogVideoX driven from outside: diffusers' own predictions, broadcasts that send nothing, gangs like one worker."""

import pytest
import torch
from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel

from actors.engine.cache import BroadcastCache
from actors.engine.models.cogvideox import CogVideoXDenoiser
from cluster.errors import ConfigError, RequestError
from cluster.forecast import CollectiveCount
from tests.actors.engine.models.joint import (
    DENOISERS,
    HEADS,
    LAYERS,
    PABS,
    TEXT,
    TIMES,
    cogvideox,
    noise,
    run,
    run_gangs,
    schedule,
    texts,
)

MODELS = ("cogvideox-2b", "cogvideox-5b")
WIDTHS = (2, 3, 4)
HIDDEN, TOKENS, PATCH = HEADS * 16, 61, 16


@pytest.fixture(scope="module")
def gangs(tmp_path_factory):
    return run_gangs(MODELS, WIDTHS, tmp_path_factory.mktemp("cogvideox"))


@pytest.fixture(scope="module")
def alone():
    return {(name, pab): run(DENOISERS[name](), noise(name), pab) for name in MODELS for pab in PABS}


def predict(denoiser, latents, timestep):
    cache, text_BLD = BroadcastCache(schedule("off")), denoiser.project_text(texts())
    parallel = denoiser.share_out(latents, text_BLD)
    patches = parallel.share(latents.expand(2, -1, -1, -1, -1))
    return parallel.gather(denoiser(patches, timestep, text_BLD, step=0, cache=cache, parallel=parallel))


def theirs(model, latents, timestep):
    """diffusers' own forward, with the positions that its pipeline gives it."""
    rotation = None
    if model.config.use_rotary_positional_embeddings:
        pipeline = CogVideoXPipeline(None, None, None, model, None)
        pixels = [edge * pipeline.vae_scale_factor_spatial for edge in latents.shape[3:]]
        rotation = pipeline._prepare_rotary_positional_embeddings(*pixels, latents.shape[2], torch.device("cpu"))
    frames_first = latents.expand(2, -1, -1, -1, -1).transpose(1, 2)
    output = model(frames_first, texts(), timestep.expand(2), image_rotary_emb=rotation, return_dict=False)[0]
    return output.transpose(1, 2)


@pytest.mark.parametrize("size", [(3, 6, 10), (2, 8, 6)], ids=["native", "other"])
@pytest.mark.parametrize("rotary", [False, True], ids=["2b", "5b"])
def test_it_predicts_what_diffusers_predicts(rotary, size):
    model, timestep = cogvideox(rotary=rotary), torch.tensor(640.0)
    latents = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(3))
    expected = theirs(model, latents, timestep)
    assert (predict(CogVideoXDenoiser(model), latents, timestep) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_a_schedule_that_computes_everything_changes_no_bit(alone, name):
    denoiser = DENOISERS[name]()
    x_1CThw = noise(name)
    for time in TIMES:
        uncond, cond = predict(denoiser, x_1CThw, torch.tensor(time)).split(1)
        x_1CThw = x_1CThw - 0.15 * (uncond + 4 * (cond - uncond))
    assert torch.equal(alone[name, "off"].latents, x_1CThw)
    assert alone[name, "off"].cache_peak_bytes == 0


def test_a_broadcast_repeats_the_stored_output_for_video_and_text(monkeypatch):
    """Two like steps, of which the second broadcasts the joint attention, predict the same."""
    denoiser = DENOISERS["cogvideox-5b"]()
    cache, text_BLD, latents = BroadcastCache(schedule("pab")), denoiser.project_text(texts()), noise("cogvideox-5b")
    parallel = denoiser.share_out(latents, text_BLD)
    patches = parallel.share(latents.expand(2, -1, -1, -1, -1))

    def step(step):
        return denoiser(patches, torch.tensor(500.0), text_BLD, step=step, cache=cache, parallel=parallel)

    assert schedule("pab").table["spatial"][:2] == (True, False)
    stored = step(0)
    assert cache.bytes == LAYERS * 2 * TOKENS * HIDDEN * 4, "text and video, both branches"
    monkeypatch.setattr(parallel, "attend", None)
    assert torch.equal(step(1), stored)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("name", MODELS)
def test_a_gang_makes_what_one_worker_makes(gangs, alone, name, pab, width):
    expected = alone[name, pab].latents
    assert (gangs[name, pab, width].latents - expected).abs().max() <= 1e-4 * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("name", MODELS)
def test_what_is_sent_and_held_is_what_paper_says(gangs, name, pab, width):
    sites = LAYERS * schedule(pab).computed["spatial"]
    share = -(-TOKENS // width)
    each = 2 * HIDDEN * 4 * (3 * share + TOKENS / width)
    gang = gangs[name, pab, width]
    assert gang.all_to_all == CollectiveCount(calls=2 * sites, bytes=round(sites * each))
    assert gang.all_gather == CollectiveCount(calls=1, bytes=max(0, share - TEXT) * PATCH * 4)
    held = {"off": 0, "pab": LAYERS, "mlp": LAYERS + 1}[pab]
    assert gang.cache_peak_bytes == held * 2 * share * HIDDEN * 4


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("name", MODELS)
def test_a_broadcast_step_calls_no_collective(gangs, name, pab, width):
    expected = [2 * LAYERS * computes for computes in schedule(pab).table["spatial"]]
    assert gangs[name, pab, width].collectives == expected


@pytest.mark.parametrize("field", [{"patch_size_t": 2}, {"use_learned_positional_embeddings": True}])
def test_a_model_of_version_1_5_or_from_images_is_refused(field):
    with torch.device("meta"):
        model = CogVideoXTransformer3DModel(num_layers=1, use_rotary_positional_embeddings=True, **field)
    with pytest.raises(ConfigError, match=r"patch_size_t 2|use_learned_positional_embeddings True"):
        CogVideoXDenoiser(model)


def test_latents_that_fill_no_whole_patch_are_refused():
    denoiser = DENOISERS["cogvideox-2b"]()
    with pytest.raises(RequestError, match="3x7x10"):
        denoiser.share_out(torch.zeros(1, 4, 3, 7, 10), denoiser.project_text(texts()))
