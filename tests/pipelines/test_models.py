"""Models on disk: what is known, what is left out, and the sentence for a folder that is no whole model."""

import dataclasses
import inspect
import json
import shutil
from pathlib import Path

import pytest

from actors.engine.models.open_sora import OpenSoraTransformer3DModel
from actors.engine.models.open_sora_plan import AutoencoderKLOpenSoraPlan, OpenSoraPlanTransformer3DModel
from actors.engine.published_numbers import READERS
from cluster.errors import ConfigError, RequestError
from cluster.schedule import BroadcastSchedule
from cluster.shape import Shape
from pipelines.commands.video import one_video
from pipelines.models import find_model, known_models, left_out, read_card
from pipelines.pab_text import check_blocks, read_pab
from pipelines.width_policy import model_numbers, model_timesteps

T5_XXL = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
}
NAMES = ("num_layers", "num_attention_heads", "attention_head_dim", "in_channels", "video_length", "sample_size")
NUMBERS: dict[str, object] = dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("model_index.json", [], "model_index.json is not what diffusers saves, which is an object"),
        ("transformer/config.json", {}, r"model/transformer/config\.json lacks sample_size"),
        ("vae/config.json", {}, r"model/vae/config\.json lacks block_out_channels"),
        ("vae/config.json", {"block_out_channels": 3}, "is not what diffusers saves"),
        ("text_encoder/config.json", {"architectures": 3}, "is not what diffusers saves"),
        ("transformer/config.json", NUMBERS | {"patch_size": 0}, "makes patch_size 0, and 1 or more"),
        ("transformer/config.json", NUMBERS | {"patch_size": "2"}, "makes patch_size '2', and 1 or more"),
        ("scheduler", None, "has no folder scheduler"),
        ("tokenizer", None, "has no folder tokenizer"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_told(
    tmp_path: Path, tiny_model: Path, file: str, content: object, sentence: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    if content is None:
        shutil.rmtree(folder / file)
    else:
        (folder / file).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=f"{sentence}.*; save the whole pipeline there again"):
        read_card(find_model(str(folder)))


@pytest.mark.parametrize("name", ["~nosuchperson/model", "x" * 300, "a\0b"])
def test_a_name_that_no_folder_can_have_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match="model "):
        find_model(name)


def test_files_of_another_project_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "configs/models"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("layers: 12\n")
    (folder / "b.yaml").write_text("id: mine\npath: /models/mine\n")
    monkeypatch.chdir(tmp_path)
    assert known_models().keys() >= {"mine", "demo"}
    assert [str(folder / "a.yaml") in problem for problem in left_out()] == [True]
    with pytest.raises(ConfigError, match=r"neither a known model .*; left out: unknown key .*a\.yaml\.layers"):
        find_model("nope")


def test_a_block_that_the_model_lacks_is_told_before_anything_is_loaded(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="pab reuses the mlp of block 99; the model has blocks 0 to 1"):
        one_video(
            prompt="a cat", model=str(tiny_model), size=None, pab="mlp=0+99@720x2", gang=1, fields={}, guidance="split"
        )


def test_a_wrong_part_of_pab_is_called_as_a_config_calls_it(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"^pab\.window is 'a:b'"):
        one_video(
            prompt="a cat", model=str(tiny_model), size=None, pab="window=a:b", gang=1, fields={}, guidance="split"
        )


@pytest.mark.parametrize(("name", "frames", "latent_frames"), [("", 65, 17), ("-221", 221, 56)])
def test_open_sora_plan_has_an_entry_for_each_of_its_numbers_of_frames(
    name: str, frames: int, latent_frames: int
) -> None:
    numbers = known_models()[f"open-sora-plan-1.1{name}"].numbers
    assert numbers is not None
    shape = Shape(height=512, width=512, num_frames=frames)
    numbers.check(shape)
    assert numbers.latent_frames(shape) == latent_frames
    with pytest.raises(RequestError, match=f"videos of {frames} frames"):
        numbers.check(Shape(height=512, width=512, num_frames=frames + 4))


@pytest.mark.parametrize(
    ("name", "billions", "widths", "tokens"),
    [
        ("cogvideox-2b", 1.69, (1, 2, 3, 5, 6, 10, 15, 30), 226 + 13 * 30 * 45),
        ("cogvideox-5b", 5.57, (1, 2, 3, 4, 6, 8, 12, 16, 24, 48), 226 + 13 * 30 * 45),
        ("wan-2.1-1.3b", 1.42, (1, 2, 3, 4, 6, 12), 21 * 30 * 52),
        ("wan-2.1-14b", 14.29, (1, 2, 4, 5, 8, 10, 20, 40), 21 * 45 * 80),
    ],
)
def test_models_with_joint_attention_have_their_published_sizes(
    name: str, billions: float, widths: tuple[int, ...], tokens: int
) -> None:
    model = known_models()[name]
    numbers, sampling = model_numbers(model), model.sampling
    shape = Shape(height=sampling["height"], width=sampling["width"], num_frames=sampling["num_frames"])
    numbers.check(shape)
    assert numbers.parameters / 1e9 == pytest.approx(billions, abs=0.02)
    assert numbers.legal_widths(shape) == numbers.legal_widths() == widths
    assert numbers.sequence(shape) == tokens
    assert numbers.edge_multiple == 16
    assert numbers.hidden_size % numbers.num_heads == 0


@pytest.mark.parametrize(
    ("name", "pipeline", "transformer", "vae", "changed"),
    [
        ("open-sora-1.2", "OpenSoraPipeline", OpenSoraTransformer3DModel, None, {}),
        (
            "open-sora-plan-1.1",
            "OpenSoraPlanPipeline",
            OpenSoraPlanTransformer3DModel,
            AutoencoderKLOpenSoraPlan,
            {"sample_size": [64, 64], "video_length": 17},
        ),
        (
            "open-sora-plan-1.1-221",
            "OpenSoraPlanPipeline",
            OpenSoraPlanTransformer3DModel,
            AutoencoderKLOpenSoraPlan,
            {"sample_size": [64, 64], "video_length": 56},
        ),
    ],
)
def test_an_entry_has_the_numbers_that_its_published_files_have(
    name: str, pipeline: str, transformer: type, vae: type | None, changed: dict[str, object]
) -> None:
    """The config.json of Open-Sora's VAE has none of its sizes."""
    sizes = _defaults(transformer) | changed
    read = READERS[pipeline]({}, sizes, _defaults(vae) if vae else {"micro_frame_size": 17}, T5_XXL)
    model = known_models()[name]
    # Entries leave out the words, which are looked up and not multiplied.
    assert dataclasses.replace(read, text_embeddings=0) == model.numbers
    assert read.parameters / 1e9 == pytest.approx(1.06 if "plan" in name else 1.21, abs=0.06)


def _defaults(model: type) -> dict[str, object]:
    """The sizes that a model's class has unless told, which are those that its authors published."""
    parameters = inspect.signature(model).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def test_every_model_names_a_preset_that_broadcasts_something_in_its_own_timesteps() -> None:
    for model in known_models().values():
        assert model.pab is not None, model.id
        pab, numbers = read_pab(model.pab), model_numbers(model)
        check_blocks(pab, numbers.num_layers)
        sampling = model.sampling
        shape = Shape(height=sampling["height"], width=sampling["width"], num_frames=sampling["num_frames"])
        computed = BroadcastSchedule.build(pab, model_timesteps(model, sampling["steps"], shape)).computed
        assert all(computed[kind] < sampling["steps"] for kind in numbers.kinds), model.id


def test_pndm_evaluates_open_sora_plan_nine_times_more_than_it_has_steps() -> None:
    model = known_models()["open-sora-plan-1.1"]
    assert len(model_timesteps(model, 150, Shape(height=512, width=512, num_frames=65))) == 159


@pytest.mark.parametrize(
    ("model", "frames"),
    [("latte-1", None), ("open-sora-1.2", "17 to 408, in 17s"), ("wan-2.1-1.3b", "1 to 81, in 4s after the first")],
)
def test_the_numbers_of_frames_are_told(model: str, frames: str | None) -> None:
    assert model_numbers(known_models()[model]).frame_range == frames
