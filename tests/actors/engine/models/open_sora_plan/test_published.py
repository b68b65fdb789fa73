import logging

import pytest

from actors.engine.models.open_sora_plan import AutoencoderKLOpenSoraPlan, OpenSoraPlanTransformer3DModel
from cluster.errors import ConfigError
from tests.actors.engine.models.open_sora_plan.authors import save_published

QUERY = "transformer_blocks.1.attn2.to_q.weight"


def test_missing_and_unexpected_keys_are_named(tmp_path):
    folder = tmp_path / "65x512x512"
    folder.mkdir()
    save_published(folder, "transformer-17", shapes={QUERY: None, "pos_embed.freqs": [4]})
    with pytest.raises(ConfigError, match=f"^{folder} holds no .*: missing {QUERY}; unexpected pos_embed.freqs$"):
        OpenSoraPlanTransformer3DModel.from_pretrained(tmp_path, subfolder="65x512x512")


def test_of_many_wrong_keys_some_are_named_and_the_rest_counted(tmp_path):
    save_published(tmp_path, "transformer-17")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"missing decoder\.conv_in\.conv\.bias, .* and \d+ more; unexpected "):
        AutoencoderKLOpenSoraPlan.from_pretrained(tmp_path)


def test_a_tensor_of_another_shape_is_named(tmp_path):
    save_published(tmp_path, "transformer-17", shapes={QUERY: [16, 8]})
    with pytest.raises(ValueError, match=QUERY):
        OpenSoraPlanTransformer3DModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("model", "case", "settings", "message"),
    [
        (OpenSoraPlanTransformer3DModel, "transformer-17", {"use_rope": True}, "use_rope is True in config.json"),
        (AutoencoderKLOpenSoraPlan, "vae", {"decoder_attention": "AttnBlock3D"}, "has 'AttnBlock3DFix'"),
    ],
)
def test_another_architecture_is_refused_by_its_settings(tmp_path, model, case, settings, message):
    with pytest.raises(ConfigError, match=message):
        model.from_pretrained(save_published(tmp_path, case, settings=settings))


def test_what_only_training_used_is_passed_over_in_silence(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    save_published(tmp_path, "vae", shapes={"loss.discriminator.main.0.weight": [2, 3]})
    AutoencoderKLOpenSoraPlan.from_pretrained(tmp_path)
    assert not caplog.records
