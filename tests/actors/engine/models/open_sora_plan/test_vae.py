import pytest
import torch

from actors.engine.models.open_sora_plan import AutoencoderKLOpenSoraPlan
from tests.actors.engine.models.open_sora_plan.authors import error, golden, save_published

PUBLISHED_GB = 1.07
AUTHORS_PARAMETERS = 246_859_499
# VGG-16 with the heads of LPIPS, and the discriminator: in the same file, under `loss.`.
LOSS_PARAMETERS = 14_716_160 + 4_667_521


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return AutoencoderKLOpenSoraPlan.from_pretrained(save_published(tmp_path_factory.mktemp("vae"), "vae"))


@pytest.mark.parametrize(("latents", "pixels"), [("latents", "decoded"), ("image", "picture")])
def test_videos_and_single_frames_decode_as_the_authors_do(vae, latents, pixels):
    theirs = golden("vae")
    with torch.no_grad():
        (ours,) = vae.decode(theirs[latents], return_dict=False)
    assert ours.shape == theirs[pixels].shape
    assert error(ours, theirs[pixels]) < 1e-5


def test_videos_encode_as_the_authors_do(vae):
    theirs = golden("vae")
    with torch.no_grad():
        distribution = vae.encode(theirs["frames"]).latent_dist
    assert error(distribution.parameters, theirs["moments"]) < 1e-5


def test_saved_and_loaded_it_is_the_same(vae, tmp_path):
    vae.save_pretrained(tmp_path)
    again = AutoencoderKLOpenSoraPlan.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in vae.state_dict().items())


def test_at_true_size_it_and_what_trained_it_fill_the_published_file():
    with torch.device("meta"):
        vae = AutoencoderKLOpenSoraPlan()
    parameters = sum(parameter.numel() for parameter in vae.parameters())
    assert parameters == AUTHORS_PARAMETERS
    assert 4 * (parameters + LOSS_PARAMETERS) / 1e9 == pytest.approx(PUBLISHED_GB, abs=0.006)
