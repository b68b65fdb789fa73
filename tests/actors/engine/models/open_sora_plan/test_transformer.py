import pytest
import torch

from actors.engine import BroadcastCache, BroadcastSchedule, FrameParallel
from actors.engine.models.latte import LatteDenoiser
from actors.engine.models.open_sora_plan import OpenSoraPlanTransformer3DModel
from cluster.pab import PabConfig
from tests.actors.engine.models.open_sora_plan.authors import error, golden, save_published

# 17 frames on the grid of training, their positions as Latte's; 56 frames, their positions a third apart, on a grid
# that is neither square nor that of training.
CASES = ("transformer-17", "transformer-56")
PUBLISHED_GB = 4.23
UNREAD_CAPTION = 120 * 4096


@pytest.mark.parametrize("case", CASES)
def test_the_forward_equals_the_authors(tmp_path, case):
    theirs = golden(case)
    model = OpenSoraPlanTransformer3DModel.from_published(save_published(tmp_path, case))
    with torch.no_grad():
        ours = model(theirs["latents"], timestep=theirs["timestep"], encoder_hidden_states=theirs["text"]).sample
    assert error(ours, theirs["output"]) < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_the_denoiser_of_latte_drives_it_site_by_site(tmp_path, case):
    theirs = golden(case)
    model = OpenSoraPlanTransformer3DModel.from_published(save_published(tmp_path, case))
    denoiser = LatteDenoiser(model)
    cache = BroadcastCache(BroadcastSchedule.build(PabConfig(), [1]))
    for index, timestep in enumerate(theirs["timestep"]):
        own = slice(index, index + 1)
        with torch.no_grad():
            ours = denoiser(
                theirs["latents"][own],
                timestep,
                denoiser.project_text(theirs["text"][own]),
                step=0,
                cache=cache,
                parallel=FrameParallel(model.config.video_length, 1),
            )
        assert error(ours, theirs["output"][own, :4]) < 1e-5


def test_saved_and_loaded_it_is_the_same(tmp_path):
    model = OpenSoraPlanTransformer3DModel.from_published(save_published(tmp_path, "transformer-56"))
    model.save_pretrained(tmp_path / "again")
    again = OpenSoraPlanTransformer3DModel.from_pretrained(tmp_path / "again")
    assert again.config.sample_size == model.config.sample_size == 128
    assert torch.equal(again.temp_pos_embed, model.temp_pos_embed)
    assert torch.equal(again.proj_out.weight, model.proj_out.weight)


def test_at_true_size_it_fills_the_published_file():
    with torch.device("meta"):
        model = OpenSoraPlanTransformer3DModel()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == 1_057_246_880
    assert round(4 * (parameters + UNREAD_CAPTION) / 1e9, 2) == PUBLISHED_GB
