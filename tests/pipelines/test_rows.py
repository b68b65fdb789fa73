"""Rows into requests, and the reason for each bad one."""

import math

import pytest

from actors.engine.request import VideoRequest
from cluster.model import ModelNumbers
from cluster.pab import PabConfig
from cluster.vae import VaeNumbers
from pipelines.rows import BadRow, RowDefaults, read_row
from pipelines.sampling import Sampling
from pipelines.widths import GangConfig, WidthRule

NUMBERS = ModelNumbers(
    num_layers=2,
    hidden_size=32,
    num_heads=2,
    patch_size=1,
    vae=VaeNumbers(channels=(128, 256, 512, 512)),
    latent_channels=4,
    num_frames=16,
    min_edge=32,
    max_edge=256,
    native_edge=64,
    max_prompt_bytes=4096,
)
DEFAULTS = RowDefaults(
    sampling=Sampling(),
    model="demo",
    model_revision="r1",
    pab=PabConfig(),
    numbers=NUMBERS,
    gang=GangConfig(width="auto", table=(WidthRule(width=1, max_tokens=1024), WidthRule(width=2))),
)


def requests(**fields: object) -> list[VideoRequest]:
    row = read_row({"prompt": "a red circle", **fields}, "p.jsonl:1", DEFAULTS)
    assert not isinstance(row, BadRow), row
    return row


def reason(**fields: object) -> str:
    row = read_row({"prompt": "a red circle", **fields}, "p.jsonl:1", DEFAULTS)
    assert isinstance(row, BadRow)
    assert "\n" not in row.reason
    return row.reason


def test_what_a_row_does_not_say_is_the_jobs() -> None:
    (request,) = requests()
    assert (request.height, request.steps, request.seed, request.id) == (64, 30, 0, None)


def test_columns_override_the_jobs_sampling() -> None:
    (request,) = requests(id=7, height=96, width="128", seed=5, guidance_scale="2.5", negative_prompt="blur", fps=12.0)
    assert (request.id, request.height, request.width, request.seed) == ("7", 96, 128, 5)
    assert (request.guidance_scale, request.negative_prompt, request.fps) == (2.5, "blur", 12)


@pytest.mark.parametrize("nothing", [None, "", "nan", math.nan])
def test_nothing_stands_for_the_default(nothing: object) -> None:
    assert requests(height=nothing, seed=nothing, num_samples=nothing) == requests()


def test_columns_that_nobody_knows_are_ignored() -> None:
    assert requests(aesthetic_score=5.1, url="https://example.org") == requests()


def test_several_samples_take_consecutive_seeds() -> None:
    made = requests(id="cat", seed=4, num_samples=3)
    assert [(request.id, request.seed) for request in made] == [("cat", 4), ("cat-2", 5), ("cat-3", 6)]
    assert len({request.sample_id for request in made}) == 3


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "  \t"}, "the prompt is empty"),
        ({"prompt": None}, "the prompt is empty"),
        ({"prompt": 7}, "prompt is 7; a text is wanted"),
        ({"prompt": ["a"]}, "prompt is ['a']; a text is wanted"),
        ({"prompt": "x" * 10_000_000}, "prompt has 10,000,000 bytes; at most 4,096 are taken"),
        ({"prompt": "a \ud800 b"}, "half a surrogate pair at character 3"),
        ({"negative_prompt": 3}, "negative_prompt is 3; a text is wanted"),
        ({"id": "i" * 5000}, "id has 5,000 bytes"),
        ({"height": "abc"}, "height is 'abc'; a whole number of pixels is wanted"),
        ({"height": 64.5}, "height is 64.5; a whole number of pixels is wanted"),
        ({"height": True}, "height is True; a whole number of pixels is wanted"),
        ({"height": 65}, "height 65 is not divisible by 8"),
        ({"height": 16}, "height 16 is outside 32 to 256"),
        ({"width": 10**12}, "width is 1000000000000; it must be from 1 to 16384"),
        ({"width": -8}, "width is -8"),
        ({"num_frames": 0}, "num_frames is 0; it must be from 1"),
        ({"num_frames": 17}, "num_frames is 17; the model makes videos of 16 frames"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 10**9}, "steps is 1000000000"),
        ({"guidance_scale": math.inf}, "guidance_scale is inf"),
        ({"guidance_scale": -1}, "guidance_scale is -1"),
        ({"guidance_scale": "high"}, "guidance_scale is 'high'; a number is wanted"),
        ({"guidance_scale": "1_6"}, "guidance_scale is '1_6'; a number is wanted"),
        ({"guidance_scale": "1" * 1_000_000 + "x"}, "a number is wanted"),
        ({"height": "6４"}, "height is '6４'"),
        ({"fps": 0}, "fps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"seed": 2**63 - 1, "num_samples": 2}, "the last of 2 samples has a seed out of range"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"num_samples": 10**7}, "num_samples is 10000000"),
    ],
)
def test_a_bad_row_has_its_reason(fields: dict[str, object], sentence: str) -> None:
    assert sentence in reason(**fields)


@pytest.mark.parametrize("name", ["seed", "steps", "height", "guidance_scale", "num_samples"])
def test_a_number_beyond_what_a_float_holds_is_a_bad_row(name: str) -> None:
    told = reason(**{name: 10**400})
    assert told.startswith(f"{name} is 1000")
    assert len(told) < 200


def test_a_gang_wider_than_the_frames_is_refused() -> None:
    wide = RowDefaults(
        sampling=Sampling(),
        model="demo",
        model_revision="r1",
        pab=PabConfig(),
        numbers=NUMBERS,
        gang=GangConfig(width=17),
    )
    row = read_row({"prompt": "x"}, "p.jsonl:1", wide)
    assert isinstance(row, BadRow)
    assert "legal widths are 1 to 16" in row.reason


def test_larger_videos_get_wider_gangs() -> None:
    widths = [DEFAULTS.gang.width_for(requests(width=width)[0].shape, NUMBERS) for width in (64, 96)]
    assert widths == [1, 2]
