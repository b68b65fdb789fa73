"""Checkpoints in the layouts of Open-Sora's and of Open-Sora-Plan's authors, right and wrong."""

import pytest
import torch

from actors.engine.models.open_sora import AutoencoderKLOpenSora, OpenSoraTransformer3DModel
from actors.engine.models.open_sora_plan import AutoencoderKLOpenSoraPlan, OpenSoraPlanTransformer3DModel
from cluster.errors import ConfigError
from tests.actors.engine.models.open_sora_plan.authors import save_published
from tests.actors.engine.models.published import published_folder, weights

MODELS = [("transformer", OpenSoraTransformer3DModel), ("vae", AutoencoderKLOpenSora)]
QUERY = "transformer_blocks.1.attn2.to_q.weight"


@pytest.mark.parametrize(("name", "model_class"), MODELS)
def test_a_published_checkpoint_gives_every_key_its_tensor(name, model_class, tmp_path):
    state = model_class.from_published(published_folder(tmp_path, name)).state_dict()
    published = weights(name)
    assert state.keys() == published.keys()
    assert all(torch.equal(state[key], published[key]) for key in published)


@pytest.mark.parametrize(("name", "model_class"), MODELS)
def test_what_is_loaded_is_saved_and_loaded_as_diffusers_models_are(name, model_class, tmp_path):
    model = model_class.from_published(published_folder(tmp_path, name))
    model.save_pretrained(tmp_path / "saved")
    state = model_class.from_pretrained(tmp_path / "saved").state_dict()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_what_no_file_holds_is_computed(tmp_path):
    model = OpenSoraPlanTransformer3DModel.from_published(save_published(tmp_path, "transformer-17"))
    assert not any(part.is_meta for part in (*model.parameters(), *model.buffers()))
    assert "temp_pos_embed" not in model.state_dict()


def test_a_wrong_checkpoint_names_what_is_missing_unexpected_and_of_another_shape(tmp_path):
    changes = {"rope.freqs": None, "rope.inv_freq": torch.zeros(8), "t_block.1.bias": torch.zeros(3)}
    folder = published_folder(tmp_path, "transformer", **changes)
    with pytest.raises(ConfigError) as caught:
        OpenSoraTransformer3DModel.from_published(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'model.safetensors'} is of another model than OpenSoraTransformer3DModel")
    assert "1 missing: rope.freqs" in message
    assert "1 unexpected: rope.inv_freq" in message
    assert "1 of another shape: t_block.1.bias (3,) instead of (192,)" in message


def test_it_is_as_strict_with_files_named_as_diffusers_names_them(tmp_path):
    folder = save_published(tmp_path, "transformer-17", shapes={QUERY: None, "pos_embed.freqs": [4]})
    with pytest.raises(ConfigError, match=f"keys 1 missing: {QUERY}; 1 unexpected: pos_embed.freqs$"):
        OpenSoraPlanTransformer3DModel.from_published(folder)


def test_of_many_wrong_keys_the_first_are_named_and_the_rest_counted(tmp_path):
    folder = published_folder(tmp_path, "transformer", **dict.fromkeys(weights("transformer")), other=torch.zeros(1))
    with pytest.raises(ConfigError, match=r"missing: .* and \d+ more; 1 unexpected: other"):
        OpenSoraTransformer3DModel.from_published(folder)


@pytest.mark.parametrize(
    ("file", "message"),
    [("model.safetensors", r"no config\.json"), ("config.json", r"no model\.safetensors or diffusion_pytorch_model")],
)
def test_a_folder_without_a_file_is_an_error_that_names_it(tmp_path, file, message):
    (tmp_path / file).write_text("{}")
    with pytest.raises(ConfigError, match=message):
        OpenSoraTransformer3DModel.from_published(tmp_path)


@pytest.mark.parametrize(
    ("model_class", "case", "settings", "message"),
    [
        (OpenSoraPlanTransformer3DModel, "transformer-17", {"use_rope": True}, "use_rope is True in config.json"),
        (AutoencoderKLOpenSoraPlan, "vae", {"decoder_attention": "AttnBlock3D"}, "has 'AttnBlock3DFix'"),
    ],
)
def test_another_architecture_is_refused_by_its_settings(tmp_path, model_class, case, settings, message):
    with pytest.raises(ConfigError, match=message):
        model_class.from_published(save_published(tmp_path, case, settings=settings))


def test_what_only_training_used_is_passed_over(tmp_path):
    folder = save_published(tmp_path, "vae", shapes={"loss.discriminator.main.0.weight": [2, 3]})
    assert "loss.discriminator.main.0.weight" not in AutoencoderKLOpenSoraPlan.from_published(folder).state_dict()
