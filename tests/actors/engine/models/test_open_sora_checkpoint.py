import pytest
import torch

from actors.engine.models.open_sora import AutoencoderKLOpenSora, OpenSoraTransformer3DModel, load_published
from cluster.errors import ConfigError
from tests.actors.engine.models.published import published_folder, weights

MODELS = [("transformer", OpenSoraTransformer3DModel), ("vae", AutoencoderKLOpenSora)]


@pytest.mark.parametrize(("name", "model_class"), MODELS)
def test_a_published_checkpoint_gives_every_key_its_tensor(name, model_class, tmp_path):
    state = load_published(model_class, published_folder(tmp_path, name)).state_dict()
    published = weights(name)
    assert state.keys() == published.keys()
    assert all(torch.equal(state[key], published[key]) for key in published)


@pytest.mark.parametrize(("name", "model_class"), MODELS)
def test_what_is_loaded_is_saved_and_loaded_as_diffusers_models_are(name, model_class, tmp_path):
    model = load_published(model_class, published_folder(tmp_path, name))
    model.save_pretrained(tmp_path / "saved")
    state = model_class.from_pretrained(tmp_path / "saved").state_dict()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_a_wrong_checkpoint_names_what_is_missing_unexpected_and_of_another_shape(tmp_path):
    changes = {"rope.freqs": None, "rope.inv_freq": torch.zeros(8), "t_block.1.bias": torch.zeros(3)}
    folder = published_folder(tmp_path, "transformer", **changes)
    with pytest.raises(ConfigError) as caught:
        load_published(OpenSoraTransformer3DModel, folder)
    message = str(caught.value)
    assert "1 missing: rope.freqs" in message
    assert "1 unexpected: rope.inv_freq" in message
    assert "1 of another shape: t_block.1.bias (3,) instead of (192,)" in message


def test_of_many_wrong_keys_the_first_are_named_and_the_rest_counted(tmp_path):
    folder = published_folder(tmp_path, "transformer", **dict.fromkeys(weights("transformer")), other=torch.zeros(1))
    with pytest.raises(ConfigError, match=r"missing: .* and \d+ more; 1 unexpected: other"):
        load_published(OpenSoraTransformer3DModel, folder)


def test_a_folder_without_weights_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"has no model\.safetensors"):
        load_published(OpenSoraTransformer3DModel, tmp_path)
