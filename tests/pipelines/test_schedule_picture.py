"""The schedule as text and as a picture."""

from pathlib import Path

import pytest
from PIL import Image

from cluster.errors import StoreError
from cluster.schedule import BroadcastSchedule
from pipelines.pab_text import read_pab
from pipelines.schedule_picture import COLOURS, draw_schedule
from pipelines.schedule_table import spell_schedule

KINDS = ("spatial", "temporal", "cross")


def schedule(pab: str, steps: int) -> BroadcastSchedule:
    return BroadcastSchedule.build(read_pab(pab), [1000 * (1 - step / steps) for step in range(steps)])


def test_the_table_has_a_character_a_step() -> None:
    lines = spell_schedule(schedule("spatial=2,temporal=4,cross=6", 12), KINDS).splitlines()
    assert lines[1:5] == [
        "timestep  1000      167",
        "spatial   █·█·█·█·█·█·",
        "temporal  █···█···█···",
        "cross     █·····█·····",
    ]
    assert lines[5] == "spatial   computes in 6 of 12 steps (50%)"


def test_long_runs_are_broken_into_lines() -> None:
    text = spell_schedule(schedule("pab246", 150), KINDS)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.count("timestep") == 3


@pytest.mark.parametrize(("pab", "steps"), [("pab246", 30), ("off", 1), ("spatial=2,mlp=0@720x2", 100)])
def test_the_picture_shows_every_kind_that_computes(tmp_path: Path, pab: str, steps: int) -> None:
    file = tmp_path / "schedule.png"
    draw_schedule(schedule(pab, steps), KINDS, "a title", file)
    with Image.open(file) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    kinds = [*KINDS, "mlp"] if "mlp" in pab else KINDS
    assert {tuple(bytes.fromhex(COLOURS[kind][1:])) for kind in kinds} <= colours


def test_a_file_of_no_known_format_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be drawn"):
        draw_schedule(schedule("pab246", 30), KINDS, "a title", tmp_path / "schedule.nope")
