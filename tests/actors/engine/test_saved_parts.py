"""Folders whose weights are not those that their configs describe are refused, and by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.engine import Engine, check_weights, inspect_model, timesteps
from cluster.errors import ConfigError
from cluster.shape import Shape
from tests.tiny_joint_models import save_tiny_cogvideox, save_tiny_wan

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
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
        (lambda folder: (folder / WEIGHTS).write_bytes(b"not a safetensors file"), "cannot be loaded"),
    ],
    ids=["fewer layers", "renamed", "missing", "text encoder", "vae", "shape", "broken"],
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
    Engine.load(str(copy(tiny_model, tmp_path, add)))


def test_weights_in_another_format_are_told(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy(tiny_model, tmp_path, lambda folder: (folder / WEIGHTS).rename(folder / "transformer/model.bin"))
    with pytest.raises(ConfigError, match=r"no \.safetensors file, only model\.bin; weights are read from safetensors"):
        check_weights(inspect_model(folder))


def test_a_transformer_of_another_pipeline_is_told(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"says WanPipeline .* a LatteTransformer3DModel; WanTransformer3DModel is"):
        inspect_model(copy(tiny_model, tmp_path, config("model_index.json", _class_name="WanPipeline")))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"_class_name": "MagicScheduler"}, "says 'MagicScheduler', which is no scheduler of diffusers"),
        ({"_class_name": "AutoencoderKL"}, "says 'AutoencoderKL', which is no scheduler"),
        ({"num_train_timesteps": 10}, "num_train_timesteps 10; pab's windows are of the 1000"),
    ],
)
def test_a_scheduler_that_cannot_be_used_is_told_by_plans_and_by_loading(
    values: dict[str, object], sentence: str, tiny_model: Path, tmp_path: Path
) -> None:
    folder = copy(tiny_model, tmp_path, config("scheduler/scheduler_config.json", **values))
    with pytest.raises(ConfigError, match=sentence):
        timesteps(folder, 4, Shape(height=64, width=64, num_frames=16))
    with pytest.raises(ConfigError, match=sentence):
        Engine.load(str(folder))
