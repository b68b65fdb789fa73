"""Folders whose weights are not those that their configs describe are refused, and by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration, UMT5Config, UMT5ForConditionalGeneration

from actors.engine import Engine, check_weights, inspect_model, timesteps
from cluster.errors import ConfigError
from cluster.shape import Shape
from tests.tiny_joint_models import save_tiny_cogvideox, save_tiny_wan
from tests.tiny_model import save_tiny_model
from tests.tiny_open_sora import save_tiny_open_sora, save_tiny_open_sora_plan

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"
T5_SIZES = {"vocab_size": 384, "d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
SAVE: dict[str, Callable[[Path], Path]] = {
    "latte": save_tiny_model,
    "cogvideox": lambda folder: save_tiny_cogvideox(folder, rotary=True),
    "wan": save_tiny_wan,
    "open-sora": save_tiny_open_sora,
    "open-sora-plan": save_tiny_open_sora_plan,
}
Damage = Callable[[Path], None]


def weights(change: Callable[[dict[str, torch.Tensor]], object], file: str = WEIGHTS) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / file)
        change(tensors)
        save_file(tensors, folder / file, metadata={"format": "pt"})

    return damage


def config(file: str, **values: object) -> Damage:
    def damage(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(content | values))

    return damage


def cut_off(file: str) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return damage


def empty_index(file: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / file).rename(folder / file.replace(".safetensors", "-00001-of-00001.safetensors"))
        (folder / f"{file}.index.json").write_text("{}")

    return damage


def rename(old: str, new: str) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.update({new: tensors.pop(old)})


def copy(model: Path, tmp_path: Path, damage: Damage) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    damage(folder)
    return folder


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            config("transformer/config.json", num_layers=1),
            r"keys \d+ unexpected: temporal_trans.* more",
        ),
        (weights(rename("proj_out.weight", "out.weight")), "1 missing: proj_out.weight; 1 unexpected: out.weight"),
        (weights(lambda tensors: tensors.pop("scale_shift_table")), "keys 1 missing: scale_shift_table"),
        (
            weights(lambda tensors: tensors.pop("encoder.final_layer_norm.weight"), "text_encoder/model.safetensors"),
            r"text_encoder .*keys 1 missing: encoder\.final_layer_norm\.weight",
        ),
        (
            weights(rename("decoder.conv_in.bias", "b.bias"), "vae/diffusion_pytorch_model.safetensors"),
            r"vae .*keys 1 missing: decoder\.conv_in\.bias; 1 unexpected: b\.bias",
        ),
        (weights(lambda tensors: tensors.update({"proj_out.weight": torch.zeros(3, 3)})), "proj_out.weight"),
        (
            weights(lambda tensors: tensors.update({"encoder.final_layer_norm.weight": torch.zeros(3)}), TEXT),
            r"text_encoder .*of another shape: encoder\.final_layer_norm\.weight \(3,\) instead of \(24,\)$",
        ),
        (weights(lambda tensors: tensors.update({"proj_out.lora_A": torch.zeros(3)})), r"unexpected: proj_out\.lora_A"),
        (weights(lambda tensors: tensors.update({"encoder.x.gamma": torch.ones(3)}), TEXT), r"unexpected: .*x\.gamma"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"not a safetensors file"), "transformer cannot be loaded"),
        (cut_off(WEIGHTS), "transformer cannot be loaded: .*; the file may be cut off"),
        (cut_off(TEXT), "text_encoder cannot be loaded: .*; the file may be cut off"),
        (empty_index(WEIGHTS), "transformer cannot be loaded: KeyError 'weight_map'"),
        (empty_index(TEXT), "text_encoder cannot be loaded: KeyError 'weight_map'"),
        (config("vae/config.json", down_block_types=["zzz"] * 4), "vae cannot be loaded: zzz"),
        (config("transformer/config.json", dropout="a"), "transformer cannot be loaded: '<' not supported"),
    ],
)
def test_weights_that_are_not_those_of_the_config_are_named(
    damage: Damage, sentence: str, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Engine.load(str(copy(tiny_model, tmp_path, damage)))


@pytest.mark.parametrize("family", ["wan", "cogvideox"])
def test_so_are_those_of_the_other_families(family: str, tmp_path: Path) -> None:
    model = tmp_path / family
    _ = save_tiny_wan(model) if family == "wan" else save_tiny_cogvideox(model, rotary=True)
    Engine.load(str(model))
    with pytest.raises(ConfigError, match=r"1 missing: proj_out\.bias; 1 unexpected: out\.bias"):
        Engine.load(str(copy(model, tmp_path, weights(rename("proj_out.bias", "out.bias")))))


def test_a_buffer_that_the_class_computes_may_be_in_the_file(tiny_model: Path, tmp_path: Path) -> None:
    add = weights(lambda tensors: tensors.update({"pos_embed.old_positions": torch.zeros(3)}))
    folder = copy(tiny_model, tmp_path, add)
    engine = Engine.load(str(folder))
    assert engine.card.path == str(folder.resolve())
    assert "old_positions" not in engine.model.parts.transformer.state_dict()


def test_weights_in_another_format_are_told(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy(tiny_model, tmp_path, lambda folder: (folder / WEIGHTS).rename(folder / "transformer/model.bin"))
    with pytest.raises(ConfigError, match=r"no \.safetensors file, only model\.bin; weights are read from safetensors"):
        check_weights(inspect_model(folder))


def test_a_transformer_of_another_pipeline_is_told(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"says WanPipeline .* its transformer is of LatteTransformer3DModel; WanT"):
        inspect_model(copy(tiny_model, tmp_path, config("model_index.json", _class_name="WanPipeline")))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"_class_name": "MagicScheduler"}, "says 'MagicScheduler', which is no scheduler of diffusers"),
        ({"_class_name": "AutoencoderKL"}, "says 'AutoencoderKL', which is no scheduler"),
        ({"_class_name": "DDPMScheduler"}, "scheduler says DDPMScheduler; .* must have one video; taken are DDIM"),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"},
            r"has algorithm_type 'sde-dpmsolver\+\+'; .* taken are dpmsolver\+\+, dpmsolver",
        ),
        ({"thresholding": True}, "scheduler has thresholding True"),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}, "has timestep_type 'continuous'"),
        ({"num_train_timesteps": 10}, "num_train_timesteps 10; pab's windows are of the 1000"),
        ({"num_train_timesteps": "1000"}, "scheduler has num_train_timesteps '1000'; pab's"),
        ({"beta_schedule": "zzz"}, "scheduler cannot be loaded: zzz is not implemented"),
        ({"prediction_type": "zzz"}, "scheduler cannot be loaded: prediction_type given as zzz"),
        ({"trained_betas": [0.1, 0.2]}, "scheduler cannot be loaded: index 999"),
        ({"beta_start": float("nan")}, "scheduler cannot be loaded: its numbers make latents NaN"),
    ],
)
def test_a_scheduler_that_cannot_be_used_is_told_by_plans_and_by_loading(
    values: dict[str, object], sentence: str, tiny_model: Path, tmp_path: Path
) -> None:
    folder = copy(tiny_model, tmp_path, config(SCHEDULER, **values))
    with pytest.raises(ConfigError, match=sentence):
        timesteps(folder, 4, Shape(height=64, width=64, num_frames=16))
    with pytest.raises(ConfigError, match=sentence):
        Engine.load(str(folder))


def test_a_scheduler_s_config_that_is_no_object_is_told(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy(tiny_model, tmp_path, lambda folder: (folder / SCHEDULER).write_text("[1]"))
    with pytest.raises(ConfigError, match=r"scheduler says no scheduler: its scheduler_config\.json is no object"):
        Engine.load(str(folder))


@pytest.mark.parametrize("family", ["wan", "cogvideox"])
def test_samplers_that_other_families_take_are_refused(family: str, tmp_path: Path) -> None:
    folder = SAVE[family](tmp_path / family)
    config(SCHEDULER, _class_name="DDIMScheduler")(folder)
    with pytest.raises(ConfigError, match=r"scheduler says DDIMScheduler; .* taken are "):
        Engine.load(str(folder))


def test_a_sampler_of_wan_must_sample_flows(tmp_path: Path) -> None:
    folder = save_tiny_wan(tmp_path / "wan")
    config(SCHEDULER, prediction_type="epsilon")(folder)
    with pytest.raises(ConfigError, match=r"scheduler has prediction_type 'epsilon'; .* taken are flow_prediction"):
        Engine.load(str(folder))


@pytest.mark.parametrize("family", SAVE)
def test_a_tokenizer_without_a_vocabulary_is_refused(family: str, tmp_path: Path) -> None:
    folder = SAVE[family](tmp_path / family)
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(ConfigError, match="has no folder tokenizer; "):
        Engine.load(str(folder))
    (folder / "tokenizer").mkdir()
    said = {"tokenizer_class": "T5Tokenizer", "unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps(said))
    config("model_index.json", tokenizer=["transformers", "T5Tokenizer"])(folder)
    with pytest.raises(ConfigError, match="tokenizer has no vocabulary, so that every prompt would be the same"):
        Engine.load(str(folder))


@pytest.mark.parametrize("family", SAVE)
@pytest.mark.parametrize(
    ("file", "values", "sentence"),
    [
        ("vae", {"_class_name": "AutoencoderKLMochi"}, "its vae is of AutoencoderKLMochi; .*Auto|CausalVAE"),
        ("text_encoder", {"model_type": "bert"}, "its text_encoder is of bert; u?m?t5 is wanted"),
        ("text_encoder", {"architectures": ["CLIPTextModel"]}, "its text_encoder is of CLIPTextModel; (UM)?T5Enc"),
    ],
    ids=["vae", "model_type", "architectures"],
)
def test_a_part_of_another_model_is_told(
    file: str, values: dict[str, object], sentence: str, family: str, tmp_path: Path
) -> None:
    folder = SAVE[family](tmp_path / family)
    config(f"{file}/config.json", **values)(folder)
    with pytest.raises(ConfigError, match=sentence):
        inspect_model(folder)


@pytest.mark.parametrize("family", ["latte", "wan", "open-sora"])
def test_of_a_whole_t5_the_encoder_is_taken(family: str, tmp_path: Path) -> None:
    folder = SAVE[family](tmp_path / family)
    shutil.rmtree(folder / "text_encoder")
    if family == "wan":
        UMT5ForConditionalGeneration(UMT5Config(**T5_SIZES)).save_pretrained(folder / "text_encoder")
    else:
        T5ForConditionalGeneration(T5Config(**T5_SIZES, tie_word_embeddings=False)).save_pretrained(
            folder / "text_encoder"
        )
    encoder = Engine.load(str(folder)).model.parts.text_encoder
    assert type(encoder).__name__ == ("UMT5EncoderModel" if family == "wan" else "T5EncoderModel")
