"""Remarks on what can run, but perhaps not as it is meant."""

from pathlib import Path

from actors.engine import inspect_model
from cluster.shape import Shape
from pipelines.models import find_model
from pipelines.prompts import check_input
from pipelines.remarks import remark_on_columns, remark_on_size


def test_a_size_beyond_the_trained_one_is_remarked_on() -> None:
    numbers = inspect_model(find_model("demo").folder).numbers
    assert list(remark_on_size(Shape(height=128, width=128, num_frames=16), numbers)) == []
    (remark,) = remark_on_size(Shape(height=64, width=256, num_frames=16), numbers)
    assert remark.startswith("256x64 is larger than 128x128")


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
