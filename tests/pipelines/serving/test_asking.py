"""From a request's fields to its video, or to the problem with the parameter that has it."""

import json

import pytest

from actors.engine import inspect_model
from actors.engine.request import VideoRequest
from pipelines.models import find_model
from pipelines.pab_text import read_pab
from pipelines.rows import RowDefaults
from pipelines.serving.asking import read_request
from pipelines.serving.config import load_serve_config
from pipelines.serving.problems import ApiProblem


@pytest.fixture(scope="module")
def defaults() -> RowDefaults:
    """Of the shipped config and its model."""
    card = inspect_model(find_model("demo").folder)
    return RowDefaults.of(load_serve_config("configs/serve.yaml"), card.numbers, card.revision)


def ask(defaults: RowDefaults, **fields: object) -> VideoRequest:
    return read_request({"prompt": "a red circle", **fields}, defaults)


def test_what_is_not_said_is_the_endpoints(defaults: RowDefaults) -> None:
    request = ask(defaults)
    assert (request.prompt, request.negative_prompt, request.model) == ("a red circle", "", "demo")
    assert (request.width, request.height, request.num_frames, request.fps) == (64, 64, 16, 8)
    assert (request.steps, request.guidance_scale, request.pab) == (30, 4.0, read_pab("pab246"))
    assert (request.id, request.model_revision) == (None, defaults.model_revision)
    assert request.model_revision


def test_seeds_are_by_chance_unless_one_is_given(defaults: RowDefaults) -> None:
    seeds = {ask(defaults).seed for _ in range(5)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert ask(defaults, seed=0).seed == 0
    assert ask(defaults, seed="7") == ask(defaults, seed=7)


def test_every_field_is_read(defaults: RowDefaults) -> None:
    request = ask(
        defaults,
        model="demo",
        negative_prompt="blur",
        seed=5,
        fps=4,
        num_frames=16,
        size="96x128",
        guidance_scale=2.5,
        num_inference_steps=9,
        pab="off",
    )
    assert (request.width, request.height) == (96, 128)
    assert (request.negative_prompt, request.seed, request.fps, request.steps) == ("blur", 5, 4, 9)
    assert (request.guidance_scale, request.pab.is_off) == (2.5, True)


def test_a_form_whose_values_are_texts_asks_for_the_same(defaults: RowDefaults) -> None:
    numbers = {"seed": 3, "fps": 4, "width": 96, "height": 64, "guidance_scale": 2.5, "num_inference_steps": 9}
    assert ask(defaults, **{name: str(value) for name, value in numbers.items()}) == ask(defaults, **numbers)


@pytest.mark.parametrize(
    ("fields", "fps"), [({"seconds": 2}, 8), ({"seconds": "2"}, 8), ({"seconds": "4", "fps": "4"}, 4)]
)
def test_seconds_are_frames_at_the_rate(defaults: RowDefaults, fields: dict[str, object], fps: int) -> None:
    request = ask(defaults, **fields)
    assert (request.num_frames, request.fps) == (16, fps)


@pytest.mark.parametrize(
    ("text", "temporal"), [("spatial=2,temporal=3,cross=6,timesteps=100:800", 3), ("pab246", 4), ("off", None)]
)
def test_a_request_has_its_own_pab(defaults: RowDefaults, text: str, temporal: int | None) -> None:
    pab = ask(defaults, pab=text).pab
    assert pab == read_pab(text)
    assert pab.is_off if temporal is None else pab.temporal == temporal
    assert defaults.pab == read_pab("pab246")


@pytest.mark.parametrize(
    ("fields", "param", "code", "sentence"),
    [
        ({"prompt": ""}, "prompt", "invalid_value", "the prompt is empty"),
        ({"prompt": 7}, "prompt", "invalid_value", "prompt is 7; a text is wanted"),
        ({"prompt": "a \ud800"}, "prompt", "invalid_value", "half a surrogate pair"),
        ({"prompt": "x" * 10**6}, "prompt", "invalid_value", "prompt has 1,000,000 bytes"),
        ({"negative_prompt": []}, "negative_prompt", "invalid_value", "negative_prompt is []"),
        ({"model": "sora-2"}, "model", "model_not_found", "model is 'sora-2'; this endpoint has demo"),
        ({"model": ["demo"]}, "model", "model_not_found", "this endpoint has demo"),
        ({"size": "64"}, "size", "invalid_value", "size is '64'; width x height in pixels is wanted, as 64x64"),
        ({"size": "64X64"}, "size", "invalid_value", "width x height in pixels is wanted"),
        ({"size": "-64x64"}, "size", "invalid_value", "width x height in pixels is wanted"),
        ({"size": "64x64x64"}, "size", "invalid_value", "width x height in pixels is wanted"),
        ({"size": "64.0x64"}, "size", "invalid_value", "width x height in pixels is wanted"),
        ({"size": "9" * 10**5 + "x64"}, "size", "invalid_value", "width x height in pixels is wanted"),
        ({"size": [64, 64]}, "size", "invalid_value", "width x height in pixels is wanted"),
        ({"size": "65x64"}, "size", "invalid_value", "width 65 is not divisible by 16"),
        ({"size": "0x64"}, "size", "invalid_value", "width is 0"),
        ({"height": 10**6}, "size", "invalid_value", "height is 1000000"),
        ({"seconds": 4}, "seconds", "invalid_value", "seconds is '4': num_frames is 32; the model makes videos of 16"),
        ({"seconds": 0}, "seconds", "invalid_value", "seconds is '0'; a number above 0 is wanted"),
        ({"seconds": "-1"}, "seconds", "invalid_value", "a number above 0 is wanted"),
        ({"seconds": "long"}, "seconds", "invalid_value", "seconds is 'long'"),
        ({"seconds": "1_6"}, "seconds", "invalid_value", "seconds is '1_6'"),
        ({"seconds": "nan"}, "seconds", "invalid_value", "seconds is 'nan'"),
        ({"seconds": "inf"}, "seconds", "invalid_value", "seconds is 'inf'"),
        ({"seconds": {}}, "seconds", "invalid_value", "seconds is '{}'"),
        ({"seconds": 1e300}, "seconds", "invalid_value", "seconds is '1e+300'"),
        ({"num_frames": 17}, "num_frames", "invalid_value", "num_frames is 17"),
        ({"seconds": 2, "fps": "fast"}, "fps", "invalid_value", "fps is 'fast'"),
        ({"seconds": 2, "fps": 0}, "fps", "invalid_value", "fps is 0"),
        ({"fps": 0}, "fps", "invalid_value", "fps is 0"),
        ({"seed": -1}, "seed", "invalid_value", "seed is -1"),
        ({"seed": True}, "seed", "invalid_value", "seed is True"),
        ({"guidance_scale": "nan"}, "guidance_scale", "invalid_value", "guidance_scale is 'nan'; a number is wanted"),
        ({"seed": " NaN"}, "seed", "invalid_value", "seed is ' NaN'; a number is wanted"),
        ({"prompt": "a\0b"}, "prompt", "invalid_value", "prompt has a NUL at character 2"),
        ({"guidance_scale": 101}, "guidance_scale", "invalid_value", "guidance_scale is 101"),
        ({"num_inference_steps": 0}, "num_inference_steps", "invalid_value", "steps is 0"),
        ({"pab": "pab999"}, "pab", "invalid_value", "pab is 'pab999'; one of off, "),
        ({"pab": "pab24"}, "pab", "invalid_value", "did you mean pab246?"),
        ({"pab": "configs/pab/pab246.yaml"}, "pab", "invalid_value", "pab is 'configs/pab/pab246.yaml'; one of off, "),
        ({"pab": {"spatial": 2}}, "pab", "invalid_value", "pab is \"{'spatial': 2}\"; one of off, "),
        ({"pab": "spatial=2," * 200}, "pab", "invalid_value", "a text like spatial=2,temporal=3"),
        ({"pab": "temporl=2"}, "pab", "invalid_value", "the nearest known one is pab.temporal"),
        ({"pab": "a\nb=1"}, "pab", "invalid_value", "unknown key pab.a"),
        ({"pab": "mlp=999@720x2,timesteps=100:800"}, "pab", "invalid_value", "block 999"),
        ({"input_reference": "(a file)"}, "input_reference", "unsupported_parameter", "made of text alone"),
        ({"num_samples": 2}, "num_samples", "unknown_parameter", "unknown parameter 'num_samples'"),
        ({"guidance": 2}, "guidance", "unknown_parameter", "did you mean guidance_scale?"),
        ({"zzz": 2}, "zzz", "unknown_parameter", "known are prompt, negative_prompt"),
        ({"x" * 10**5: 2}, "x" * 64, "unknown_parameter", "unknown parameter 'xxx"),
    ],
)
def test_a_bad_field_is_one_sentence_with_its_parameter(
    defaults: RowDefaults, fields: dict[str, object], param: str, code: str, sentence: str
) -> None:
    with pytest.raises(ApiProblem) as raised:
        ask(defaults, **fields)
    problem = raised.value
    assert (problem.status, problem.param, problem.code) == (400, param, code)
    assert sentence in problem.message
    assert "\n" not in problem.message
    assert len(problem.message) < 500
    assert problem.body()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("fields", [{"pab": "\ud800=1"}, {"\ud800": 1}, {"pab": "\ud800"}, {"size": "\ud800"}])
def test_a_problem_with_half_a_surrogate_pair_can_be_answered(defaults: RowDefaults, fields: dict[str, object]) -> None:
    with pytest.raises(ApiProblem) as raised:
        ask(defaults, **fields)
    json.dumps(raised.value.body(), ensure_ascii=False).encode()


def test_an_empty_seed_of_a_form_is_no_seed(defaults: RowDefaults) -> None:
    assert len({ask(defaults, seed="").seed for _ in range(3)}) == 3
