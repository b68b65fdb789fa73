"""The VAE against the authors' own code; golden/README.md says how its outputs were made."""

import pytest
import torch

from actors.engine.models.open_sora import AutoencoderKLOpenSora
from tests.actors.engine.models.published import golden, published_folder


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    model = AutoencoderKLOpenSora.from_published(published_folder(tmp_path_factory.mktemp("vae"), "vae"))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def stored():
    return golden("vae")


def assert_close(ours, theirs):
    """Within 1e-5 of the largest value: float32 sums in another order."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_a_whole_group_and_a_shorter_one_decode_to_the_authors_video(vae, stored):
    assert_close(vae.decode(stored["latents"], num_frames=25), stored["decoded"])


def test_a_video_encodes_to_the_authors_means(vae, stored):
    assert_close(vae.encode(stored["video"]), stored["encoded"])


def test_groups_decoded_apart_are_the_groups_decoded_together(vae, stored):
    first, second = stored["latents"].split(5, dim=2)
    apart = torch.cat([vae.decode(first, num_frames=17), vae.decode(second, num_frames=8)], dim=2)
    assert_close(apart, stored["decoded"])


def test_latents_of_another_length_are_refused(vae, stored):
    with pytest.raises(RuntimeError, match="sum exactly to 7"):
        vae.decode(stored["latents"], num_frames=51)


def test_at_its_true_size_it_has_as_many_parameters_as_the_authors():
    with torch.device("meta"):
        vae = AutoencoderKLOpenSora()
    count = {name: sum(part.numel() for part in child.parameters()) for name, child in vae.named_children()}
    assert count == {"spatial_vae": 83_653_863, "temporal_vae": 309_687_144}
