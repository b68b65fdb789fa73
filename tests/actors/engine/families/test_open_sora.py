"""Open-Sora and Open-Sora-Plan from folders as their authors published them, on gangs of any width."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, T5EncoderModel

from actors.engine import Engine, RunOptions, VideoRequest, inspect_model, timesteps
from actors.engine.models.open_sora import AutoencoderKLOpenSora, OpenSoraFlowScheduler, OpenSoraTransformer3DModel
from actors.engine.models.open_sora_plan import AutoencoderKLOpenSoraPlan, OpenSoraPlanTransformer3DModel
from actors.engine.peers import Peers
from cluster.errors import ConfigError, RequestError
from cluster.forecast import forecast
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule
from tests.actors.engine.gang import Case, run_gangs
from tests.tiny_open_sora import save_tiny_open_sora, save_tiny_open_sora_plan

FAMILIES = ("open-sora", "open-sora-plan")
WIDTHS = (2, 3, 4)
PABS = {"off": PabConfig(), "pab": PabConfig(spatial=2, temporal=3, cross=3, timesteps=(100, 900))}
OPTIONS = RunOptions(return_latents=True, snapshot_every=2)
STEPS, SCALE, FPS = 8, 4.0, 24
EVALUATIONS = {"open-sora": STEPS, "open-sora-plan": STEPS + 9}
# 10 latent frames of 9 x 10 patches, the last column half empty, that are decoded in 2 groups; 5 of 4 x 5.
SHAPES = {
    "open-sora": {"height": 144, "width": 152, "num_frames": 34},
    "open-sora-plan": {"height": 64, "width": 80, "num_frames": 17},
}
NEGATIVE = {"open-sora": "", "open-sora-plan": "Blurred"}
FINAL_WEIGHT = {"open-sora": "final_layer.linear.weight", "open-sora-plan": "proj_out.weight"}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("published")
    return {
        "open-sora": save_tiny_open_sora(folder / "open-sora"),
        "open-sora-plan": save_tiny_open_sora_plan(folder / "plan"),
    }


def request(family: str, pab: str) -> VideoRequest:
    return VideoRequest(
        prompt=" A red Circle",
        negative_prompt=NEGATIVE[family],
        seed=7,
        fps=FPS,
        steps=STEPS,
        guidance_scale=SCALE,
        model=family,
        model_revision="test",
        pab=PABS[pab],
        **SHAPES[family],
    )


@pytest.fixture(scope="module")
def alone(models):
    made = {}
    for family in FAMILIES:
        engine = Engine.load(str(models[family]))
        for pab in PABS:
            made[family, pab] = engine.generate(request(family, pab), options=OPTIONS)
    return made


@pytest.fixture(scope="module")
def gangs(models, tmp_path_factory):
    cases = [case for family in FAMILIES for case in cases_of(family, models[family])]
    return run_gangs(models["open-sora"], cases, tmp_path_factory.mktemp("gangs"))


def cases_of(family: str, model: Path) -> list[Case]:
    def case(name: str, width: int, pab: str = "pab", options: RunOptions = OPTIONS, resume_of: str = "") -> Case:
        return Case(f"{family}-{name}", width, request(family, pab), options, resume_of, model)

    cases = [case(f"{pab}-{width}", width, pab) for pab in PABS for width in WIDTHS]
    cases += [case(f"resumed-{width}", width, resume_of=f"{family}-pab-2") for width in (1, 3)]
    two_pass, split = (RunOptions(return_latents=True, guidance=guidance) for guidance in ("two_pass", "split"))
    return [*cases, case("two-pass-2", 2, options=two_pass), case("split-4", 4, options=split)]


def differ(latents: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(latents - wanted).max() / wanted.std())


def features(folder: Path, prompt: str) -> tuple[torch.Tensor, int]:
    """T5's features of 300 tokens, and how many of them are the prompt's: as both models' authors encode."""
    tokens = AutoTokenizer.from_pretrained(folder / "tokenizer")(
        prompt, padding="max_length", max_length=300, truncation=True, return_tensors="pt"
    )
    encoder = T5EncoderModel.from_pretrained(folder / "text_encoder").eval()
    return encoder(**tokens)[0], int(tokens.attention_mask.sum())


def noise(channels: int, frames: int, height: int, width: int) -> torch.Tensor:
    return torch.randn((1, channels, frames, height // 8, width // 8), generator=torch.Generator().manual_seed(7))


def open_sora(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and pixels of the plain models in a loop as the authors write it."""
    model = OpenSoraTransformer3DModel.from_published(folder / "transformer")
    height, width, num_frames = SHAPES["open-sora"].values()
    text, used = features(folder, "a red circle")
    text_BLK = torch.cat([model.y_embedder.y_embedding[None, :used], text[:, :used]])
    scheduler = OpenSoraFlowScheduler()
    scheduler.set_timesteps(STEPS, height=height, width=width, num_frames=num_frames)
    latents, fps_B = noise(4, 10, height, width), torch.full((2,), float(FPS))
    for timestep in scheduler.timesteps:
        both = latents.repeat(2, 1, 1, 1, 1)
        velocity = model(both, timestep.repeat(2), text_BLK, fps_B=fps_B, height=height, width=width)[:, :4]
        uncond, cond = velocity.chunk(2)
        latents = scheduler.step(uncond + SCALE * (cond - uncond), timestep, latents).prev_sample
    return latents, AutoencoderKLOpenSora.from_published(folder / "vae").decode(latents, num_frames)


def open_sora_plan(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Likewise; the negative prompt is cut to as many tokens as the prompt has, padding among them."""
    model = OpenSoraPlanTransformer3DModel.from_published(folder / "transformer")
    text, used = features(folder, "a red circle")
    negative, of_negative = features(folder, "blurred")
    assert of_negative < used
    text_BLK = torch.cat([negative[:, :used], text[:, :used]])
    scheduler = PNDMScheduler()
    scheduler.set_timesteps(STEPS)
    latents = noise(4, 5, *list(SHAPES["open-sora-plan"].values())[:2])
    for timestep in scheduler.timesteps:
        both = latents.repeat(2, 1, 1, 1, 1)
        predicted = model(both, timestep=timestep.repeat(2), encoder_hidden_states=text_BLK).sample[:, :4]
        uncond, cond = predicted.chunk(2)
        latents = scheduler.step(uncond + SCALE * (cond - uncond), timestep, latents).prev_sample
    vae = AutoencoderKLOpenSoraPlan.from_published(folder / "vae")
    return latents, vae.decode(latents / 0.18215).sample


@pytest.mark.parametrize(("family", "plain"), [("open-sora", open_sora), ("open-sora-plan", open_sora_plan)])
def test_without_pab_it_is_the_video_of_the_plain_models(models, alone, family, plain):
    with torch.no_grad():
        latents, pixels = plain(models[family])
    output = alone[family, "off"]
    frames = ((pixels[0].permute(1, 2, 3, 0) / 2 + 0.5).clamp(0, 1) * 255).round().numpy()
    assert differ(output.latents, latents.numpy()) <= 1e-4
    assert output.frames.shape == frames.shape == (*_size(family), 3)
    assert np.abs(output.frames.astype(int) - frames.astype(int)).max() <= 1
    assert output.frames.std() > 1


def _size(family: str) -> tuple[int, int, int]:
    height, width, num_frames = SHAPES[family].values()
    return num_frames, height, width


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gang_makes_what_one_worker_makes(gangs, alone, family, pab, width):
    found, wanted = gangs[f"{family}-{pab}-{width}"], alone[family, pab]
    assert differ(found["latents"], wanted.latents) <= 1e-4
    assert found["frames"].shape == wanted.frames.shape
    assert np.abs(found["frames"].astype(int) - wanted.frames.astype(int)).max() <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_pab_changes_the_video_a_little_and_how_guidance_runs_does_not(gangs, alone, family):
    wanted = alone[family, "pab"].latents
    assert differ(wanted, alone[family, "off"].latents) > 1e-3
    for name in ("two-pass-2", "split-4"):
        assert differ(gangs[f"{family}-{name}"]["latents"], wanted) <= 1e-4


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_snapshot_of_a_gang_of_two_goes_on_at_any_width_with_what_the_sampler_remembers(gangs, alone, family, width):
    resumed = gangs[f"{family}-resumed-{width}"]
    # In the midst of one of the Runge-Kutta steps of PNDM, which are 4 evaluations each.
    assert resumed["resumed_at"] == 6
    assert differ(resumed["latents"], alone[family, "pab"].latents) <= 1e-4


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_sent_and_held_is_what_was_forecast(models, gangs, family, pab, width):
    asked = request(family, pab)
    schedule = BroadcastSchedule.build(asked.pab, timesteps(models[family], asked.steps, asked.shape))
    said = forecast(inspect_model(models[family]).numbers, asked.shape, schedule, width)
    report = gangs[f"{family}-{pab}-{width}"]["report"]
    assert report.all_to_all == said.all_to_all
    assert report.all_gather == said.all_gather
    assert report.swaps == said.swaps
    assert report.cache_peak_bytes == said.cache_bytes
    assert (report.steps, report.computed) == (schedule.num_steps, schedule.computed)
    assert report.steps == EVALUATIONS[family]


def test_open_sora_refuses_a_negative_prompt_unless_it_is_not_read(models):
    engine = Engine.load(str(models["open-sora"]))
    asked = dataclasses.replace(request("open-sora", "off"), negative_prompt="blurred", steps=1)
    with pytest.raises(RequestError, match=r"takes no negative prompt.*leave negative_prompt empty"):
        engine.generate(asked)
    alone = dataclasses.replace(asked, guidance_scale=1.0)
    assert engine.generate(alone).frames.shape == (*_size("open-sora"), 3)


def test_open_sora_decodes_a_shorter_group_at_the_end_alone(models):
    model = Engine.load(str(models["open-sora"])).model
    latents = torch.randn(1, 4, 8, 3, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, _ = model.decode(latents, Peers())
        parts = [model.decode(latents, SimpleNamespace(rank=rank, width=3)) for rank in range(3)]
    assert [first for _, first in parts] == [0, 17, 29]
    assert np.abs(np.concatenate([frames for frames, _ in parts]).astype(int) - whole.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("latent_frames", "edge", "firsts"),
    [(5, 2, [0, 17, 17]), (18, 2, [0, 65, 69]), (34, 2, [0, 65, 129]), (50, 2, [0, 129, 193]), (18, 28, [0, 65, 69])],
)
def test_open_sora_plan_decodes_its_tiles_of_frames_apart(models, latent_frames, edge, firsts):
    """Latents of an edge of 28 fit a tile in space; in a video of several tiles they are cut nevertheless."""
    model = Engine.load(str(models["open-sora-plan"])).model
    latents = torch.randn(1, 4, latent_frames, 2, edge, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, _ = model.decode(latents, Peers())
        parts = [model.decode(latents, SimpleNamespace(rank=rank, width=3)) for rank in range(3)]
    assert [first for _, first in parts] == firsts
    assert np.array_equal(np.concatenate([frames for frames, _ in parts]), whole)


def test_open_sora_plan_is_sampled_as_its_folder_says(models, tmp_path):
    shutil.copytree(models["open-sora-plan"], tmp_path, dirs_exist_ok=True)
    DDIMScheduler(timestep_spacing="trailing").save_pretrained(tmp_path / "scheduler")
    asked = request("open-sora-plan", "off")
    assert timesteps(tmp_path, STEPS, asked.shape)[:2] == (999, 874)
    assert isinstance(Engine.load(str(tmp_path)).model.parts.scheduler, DDIMScheduler)


def test_fewer_steps_than_pndm_starts_with_are_refused(models):
    asked = request("open-sora-plan", "off")
    with pytest.raises(RequestError, match="steps is 3; the model's scheduler takes 4 to 1000"):
        timesteps(models["open-sora-plan"], 3, asked.shape)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_checkpoint_says_which_keys(models, tmp_path, family):
    shutil.copytree(models[family], tmp_path, dirs_exist_ok=True)
    file = next((tmp_path / "transformer").glob("*.safetensors"))
    weights = load_file(file)
    weights["other.weight"] = weights.pop(FINAL_WEIGHT[family])
    save_file(weights, file)
    with pytest.raises(ConfigError, match=f"1 missing: {FINAL_WEIGHT[family]}; 1 unexpected: other.weight$"):
        Engine.load(str(tmp_path))


@pytest.mark.parametrize("part", ["tokenizer", "transformer", "vae", "text_encoder"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_that_is_not_whole_says_in_a_sentence_what_is_missing(models, tmp_path, family, part):
    shutil.copytree(models[family], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / part)
    with pytest.raises(ConfigError) as caught:
        Engine.load(str(tmp_path))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    if part == "tokenizer":
        wanted = "it must hold T5's tokenizer, as transformers saves it"
        assert str(caught.value) == f"{tmp_path} has no folder tokenizer; {wanted}"


@pytest.mark.parametrize("family", FAMILIES)
def test_another_architecture_is_refused_by_its_config(models, tmp_path, family):
    shutil.copytree(models[family], tmp_path, dirs_exist_ok=True)
    config = tmp_path / "transformer/config.json"
    change = {"open-sora": {"patch_size": [2, 2, 2]}, "open-sora-plan": {"use_rope": True}}[family]
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(ConfigError, match=r"patches of \[2, 2, 2\]|use_rope is True"):
        Engine.load(str(tmp_path))
