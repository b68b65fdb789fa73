"""Remarks on what can run, but perhaps not as it is meant."""

import re
from pathlib import Path

import pytest

from actors.engine import inspect_model
from cluster.shape import Shape
from pipelines.models import find_model
from pipelines.pab_text import read_pab
from pipelines.prompts import check_input
from pipelines.remarks import remark_on_columns, remark_on_pab, remark_on_size
from pipelines.width_policy import Kindred


def test_a_size_beyond_the_trained_one_is_remarked_on() -> None:
    numbers = inspect_model(find_model("demo").folder).numbers
    assert list(remark_on_size(Shape(height=128, width=128, num_frames=16), numbers)) == []
    (remark,) = remark_on_size(Shape(height=64, width=256, num_frames=16), numbers)
    assert remark.startswith("256x64 is larger than 128x128")


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("pab246", None),
        ("off", None),
        ("cache_dtype=fp8", "pab broadcasts nothing: each of the 30 steps computes everything"),
        ("spatial=2,timesteps=100:101", "pab broadcasts nothing: each of the 30 steps computes everything"),
        ("spatial=2,cross=3,window=0.5:0.53", "pab does not broadcast cross: every step computes it"),
        (
            "pab246,cache_budget_gb=0.000001",
            r"pab broadcasts nothing: each of the 30 steps computes everything; pab\.cache_budget_gb is 1e-06",
        ),
        (
            "pab246,cache_budget_gb=0.003",
            r"pab does not broadcast spatial: .*; pab\.cache_budget_gb is 0\.003",
        ),
    ],
)
def test_what_of_pab_has_no_effect_is_remarked_on(text: str, remark: str | None) -> None:
    model = find_model("demo")
    ranges = text.replace("pab246", "spatial=2,temporal=4,cross=6,timesteps=100:800")
    video = Kindred(shape=Shape(height=64, width=64, num_frames=16), steps=30, branches=2, pab=read_pab(ranges))
    said = list(remark_on_pab(video, model, inspect_model(model.folder).numbers))
    assert len(said) == (0 if remark is None else 1)
    assert remark is None or re.fullmatch(remark, said[0])


def test_columns_that_are_not_read_are_named_with_what_they_may_mean(tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text("prompt,seeed,source\na red circle,7,web\n")
    (remark,) = remark_on_columns(check_input(str(file)))
    assert "not read: seeed, source" in remark
    assert "seeed may be meant as seed" in remark
    assert "source may" not in remark


def test_nothing_is_said_of_known_columns(tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text("prompt,seed\na red circle,7\n")
    assert list(remark_on_columns(check_input(str(file)))) == []
