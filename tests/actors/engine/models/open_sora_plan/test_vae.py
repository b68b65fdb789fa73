import pytest
import torch

from actors.engine.models.open_sora_plan import AutoencoderKLOpenSoraPlan
from actors.engine.models.open_sora_plan.tiling import Tiling
from tests.actors.engine.models.open_sora_plan.authors import error, golden, save_published

PUBLISHED_GB = 1.07
AUTHORS_PARAMETERS = 246_859_499
# VGG-16 with the heads of LPIPS, and the discriminator: in the same file, under `loss.`.
LOSS_PARAMETERS = 14_716_160 + 4_667_521


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return AutoencoderKLOpenSoraPlan.from_published(save_published(tmp_path_factory.mktemp("vae"), "vae"))


@pytest.mark.parametrize(("latents", "pixels"), [("latents", "decoded"), ("image", "picture")])
def test_videos_and_single_frames_decode_as_the_authors_do(vae, latents, pixels):
    theirs = golden("vae")
    with torch.no_grad():
        (ours,) = vae.decode(theirs[latents], return_dict=False)
    assert ours.shape == theirs[pixels].shape
    assert error(ours, theirs[pixels]) < 1e-5


def test_tiles_meet_as_the_authors_do(vae, monkeypatch):
    theirs = golden("vae-tiled")
    monkeypatch.setattr(vae, "tiling", Tiling(frames=3, edge=4))
    monkeypatch.setattr(vae, "use_tiling", True)
    with torch.no_grad():
        (ours,) = vae.decode(theirs["latents"], return_dict=False)
    assert ours.shape == theirs["decoded"].shape
    assert error(ours, theirs["decoded"]) < 1e-5


def test_what_one_tile_holds_is_decoded_in_one_piece(vae):
    latents = golden("vae")["latents"]
    with torch.no_grad():
        whole = vae.decode(latents).sample
        vae.enable_tiling()
        assert torch.equal(vae.decode(latents).sample, whole)
        vae.disable_tiling()


@pytest.mark.parametrize(("frames", "in_time"), [(1, 1), (17, 1), (18, 2), (33, 2), (56, 4)])
def test_the_authors_tiles_cover_a_video_of_any_length(frames, in_time):
    decoded = []

    def decode(latents):
        decoded.append(latents)
        pixels = latents.repeat_interleave(4, dim=2)[:, :, 3:]
        return pixels.repeat_interleave(8, dim=3).repeat_interleave(8, dim=4)

    latents = torch.arange(frames).float().reshape(1, 1, -1, 1, 1).expand(1, 1, frames, 64, 40)
    pixels = Tiling().decode(decode, latents)
    assert pixels.shape == (1, 1, 4 * frames - 3, 512, 320)
    assert torch.equal(pixels[0, 0, ::4, 0, 0], torch.arange(frames).float())
    assert len(decoded) == 3 * 2 * in_time


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
