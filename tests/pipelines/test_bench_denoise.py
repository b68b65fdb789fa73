"""`pabcast bench denoise`: a small real run, its contract and its picture, and flags that cannot work."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from actors.engine.random_models import random_model, sampler_of
from actors.engine.sampling_times import fresh_scheduler
from cluster.errors import ConfigError, StoreError
from cluster.shape import Shape
from pipelines.app import app
from pipelines.denoise_picture import Bar, colour_of, draw_seconds
from pipelines.models import known_models
from pipelines.sampling import Sampling
from pipelines.strict import build

KEYS = {"model", "shape", "steps", "variant", "seconds", "ratio", "peak_gib"}
SMALL = ["--layers=1", "--steps=4", "--rounds=1", "--device=cpu"]


def run(*words: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["bench", "denoise", *SMALL, *words, "--json"])
    assert result.exit_code == 0, result.output
    said: list[dict[str, object]] = json.loads(result.stdout.splitlines()[-1])
    return said


def test_the_bundled_models_sizes_are_measured_and_kept(tmp_path: Path) -> None:
    file, picture = tmp_path / "denoise.json", tmp_path / "denoise.png"
    said = run("--size=64x64", f"--out={file}", f"--plot={picture}")
    assert [row["variant"] for row in said] == ["off", "pab", "diffusers-off", "diffusers-pab"]
    assert all(row.keys() >= KEYS for row in said)
    assert {(row["model"], row["shape"], row["steps"], row["layers"]) for row in said} == {("demo", "64x64x16", 4, 1)}
    assert said[2]["ratio"] == 1
    assert all(row["ratio"] == said[2]["seconds"] / row["seconds"] for row in said)
    assert {row["ratio_to"] for row in said} == {"diffusers-off"}
    assert {row["peak_gib"] for row in said} == {row["graphs"] for row in said} == {None}
    assert [row["overhead"] is None for row in said] == [False, False, True, True]
    assert json.loads(file.read_text()) == said
    with Image.open(picture) as drawn:
        assert drawn.width > 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "variants"),
    [
        (["--model=latte-1", "--size=64x64"], ["off", "pab", "diffusers-off", "diffusers-pab"]),
        (["--model=wan-2.1-1.3b", "--size=64x64", "--frames=5"], ["off", "pab", "diffusers-off"]),
    ],
)
def test_models_are_measured_from_their_numbers(words: list[str], variants: list[str]) -> None:
    said = run(*words)
    assert [row["variant"] for row in said] == variants
    assert all(row["seconds"] > 0 for row in said)


@pytest.mark.parametrize("name", [name for name, known in known_models().items() if known.numbers is not None])
def test_what_is_built_has_the_parameters_that_its_numbers_say(name: str) -> None:
    known = known_models()[name]
    assert known.numbers is not None
    assert known.sampler is not None
    sampling = build(Sampling, known.sampling)
    shape = Shape(height=sampling.height, width=sampling.width, num_frames=sampling.num_frames)
    sampler = sampler_of(known.sampler)
    model = random_model(known.family, known.numbers, shape, sampler, device="meta", dtype=torch.bfloat16)
    parameters = sum(weight.numel() for weight in model.transformer.parameters())
    # The numbers leave out norms, biases and the ends, 0.3 % at most.
    assert 1 <= parameters / known.numbers.parameters < 1.003
    times = fresh_scheduler(sampler, sampling.steps, torch.device("cpu"), shape).timesteps.tolist()
    assert times == pytest.approx(known.sampler.timesteps(sampling.steps, shape))


def test_without_an_alternative_there_is_no_ratio() -> None:
    (row,) = run("--size=64x64", "--variants=pab", "--guidance-passes=two_pass")
    assert row["ratio"] is row["ratio_to"] is None
    assert row["guidance_passes"] == "two_pass"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rounds", "0"], "--rounds is 0; it must be 1 or more"),
        (["--layers", "0"], "--layers is 0; the model has"),
        (["--layers", "99"], "--layers is 99; the model has"),
        (["--size", "60x64"], "width 60 is not divisible by"),
        (["--steps", "0"], "steps is 0; it must be from 1 to 1000"),
        (["--frames", "9"], "num_frames is 9; the model makes videos of 16 frames"),
        (["--variants", "offf"], "and off is the nearest"),
        (["--variants", "off,pab", "--pab", "off"], "--variants has pab, and demo has no such variant: --pab is off"),
        (["--model", "wan-2.1-1.3b", "--variants", "diffusers-pab"], "guidance vanishes"),
        (["--model", "open-sora-1.2", "--variants", "diffusers-off"], "diffusers has no such model"),
        (["--guidance-passes", "split"], "--guidance-passes is 'split'"),
        (["--device", "tpu"], "--device is 'tpu'"),
        (["--dtype", "int4"], "--dtype is 'int4'"),
        (["--pab", "pab999"], "pab 'pab999' is neither a preset"),
        (["--plot", "denoise.txt"], "a picture is wanted"),
        (["--model", "demi"], "the nearest known one is demo"),
    ],
)
def test_what_cannot_be_measured_is_told(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", "denoise", *words])
    assert isinstance(result.exception, ConfigError)
    assert sentence in str(result.exception)


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = CliRunner().invoke(app, ["bench", "denoise", "--device", "cuda"])
    assert isinstance(result.exception, ConfigError)
    assert "torch sees no GPU" in str(result.exception)


def test_the_picture_has_a_bar_for_each_variant(tmp_path: Path) -> None:
    file = tmp_path / "denoise.png"
    names = ("off", "compiled-pab", "diffusers-off")
    draw_seconds([Bar(name=name, seconds=2, ratio=1.5) for name in names], "times as fast as off", "a title", file)
    with Image.open(file) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {tuple(bytes.fromhex(colour_of(name)[1:])) for name in names} <= colours


def test_a_picture_that_cannot_be_drawn_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be drawn"):
        draw_seconds([Bar(name="off", seconds=1, ratio=None)], "", "a title", tmp_path / "denoise.nope")
