"""`pabcast bench elastic`: its arithmetic and its picture from made-up rounds, and a small real run."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from actors.engine.demo.vocabulary import MAX_CAPTION_BYTES
from cluster.calibration import assume
from cluster.errors import ConfigError, StoreError
from pipelines.app import app
from pipelines.bench_elastic import AUTO, STAYING, Comparison, Round, median_round, variants_of
from pipelines.bench_mix import Mix
from pipelines.gang_picture import Look, Panel, Span, bars_of, colour_of, draw_gangs
from pipelines.gang_seats import Bar, seat_bars
from pipelines.gpus import find_gpu
from pipelines.places import ROOT
from pipelines.widths import GangConfig

SIZES = ((64, 64), (96, 96), (128, 128))


def mix(videos: int = 7, workers: int = 4) -> Mix:
    return Mix.build({"model": "demo", "cluster": {"workers": workers}}, SIZES, videos)


def made(variant: str, seconds: float, *, busy_fraction: float = 0.9, widened: int = 0) -> Round:
    return Round(
        variant=variant,
        videos=7,
        seconds=seconds,
        busy_fraction=busy_fraction,
        formed=1,
        widened=widened,
        spans=(),
        looks=(),
    )


def span(number: int, width: int, start_s: float, end_s: float, moved_s: float | None = None) -> Span:
    offered = width if moved_s is None else 1
    return Span(number=number, offered=offered, width=width, start_s=start_s, end_s=end_s, moved_s=moved_s)


def bar(number: int, width: int, start_s: float, end_s: float) -> Bar:
    return Bar(number=number, width=width, start_s=start_s, end_s=end_s)


def test_shapes_take_turns_and_the_same_mix_comes_again() -> None:
    requests = mix().requests
    assert [request.width for request in requests] == [64, 96, 128, 64, 96, 128, 64]
    assert len({request.sample_id for request in requests}) == 7
    assert max(len(request.prompt.encode()) for request in requests) <= MAX_CAPTION_BYTES
    assert mix().requests == requests


def test_fixed_widths_divide_the_pool() -> None:
    assert mix(workers=4).fixed_widths() == (1, 2, 4)
    assert mix(workers=6).fixed_widths() == (1, 2, 3, 6)


def test_only_auto_lets_the_pool_choose_among_widths() -> None:
    job = mix()
    offers = {
        variant.name: variant.policy.offer(job.requests[2]) for variant in variants_of(job, assume(find_gpu("cpu"), 4))
    }
    assert list(offers) == ["1", "2", "4", STAYING, AUTO]
    assert offers["2"] == (2, {})
    assert list(offers[STAYING][1]) == [offers[STAYING][0]]
    assert list(offers[AUTO][1]) == [1, 2, 3, 4]


def test_the_ways_differ_in_their_widths_alone() -> None:
    configs = [variant.policy.config for variant in variants_of(mix(), assume(find_gpu("cpu"), 4))]
    assert {config.options.guidance for config in configs} == {"batched"}
    assert len({replace(config, gang=GangConfig()).to_yaml() for config in configs}) == 1


def test_ratios_are_of_medians_to_auto() -> None:
    rounds = [made("1", 11), made("2", 14), made(STAYING, 12), made(AUTO, 10, widened=2)]
    rounds += [made(AUTO, 10, widened=4), made(STAYING, 11), made("2", 15), made("1", 12, busy_fraction=0.8)]
    rounds += [made("1", 30), made("2", 40), made(STAYING, 33), made(AUTO, 30, widened=3)]
    found = Comparison.of(rounds)
    assert {one.name: one.ratio for one in found.standings} == {"1": 1.2, "2": 1.5, STAYING: 1.2, AUTO: 1.0}
    assert found.best_fixed.name == "1"
    assert found.best_fixed.all_seconds == (11, 12, 30)
    assert found.standings[-1].widened == 3
    assert found.least_seconds == pytest.approx(0.9 * 12)
    assert median_round(rounds, "2").seconds == 15


def test_a_video_that_stayed_is_one_bar() -> None:
    assert bars_of([span(0, 2, 0.0, 3.0)], [Look(at_s=1.0, busy=(2,))]) == (bar(0, 2, 0.0, 3.0),)


def test_the_widths_that_a_video_had_are_what_the_others_leave() -> None:
    spans = [span(0, 1, 0.0, 3.0), span(1, 4, 0.5, 9.0, moved_s=6.0)]
    looks = [
        Look(at_s=1.0, busy=(1, 1)),
        Look(at_s=2.0, busy=(2, 1)),
        Look(at_s=4.0, busy=()),  # between two gangs
        Look(at_s=5.0, busy=(2,)),
        Look(at_s=7.0, busy=(4,)),
    ]
    assert bars_of(spans, looks) == (
        bar(0, 1, 0.0, 3.0),
        bar(1, 1, 0.5, 2.0),
        bar(1, 2, 2.0, 6.0),
        bar(1, 4, 6.0, 9.0),
    )


def test_a_video_that_began_wide_has_no_narrow_bar() -> None:
    spans = [span(0, 4, 0.0, 9.0, moved_s=6.0)]
    assert bars_of(spans, [Look(at_s=0.1, busy=(2,))]) == (bar(0, 2, 0.0, 6.0), bar(0, 4, 6.0, 9.0))


def test_bars_have_rows_of_their_own() -> None:
    bars = [bar(0, 1, 0, 4), bar(1, 2, 0, 3), bar(2, 1, 0, 6), bar(3, 2, 3, 8), bar(0, 2, 6, 7), bar(4, 4, 8, 9)]
    seated = seat_bars(bars, 4)
    assert all(len(rows) == one.width for one, rows in seated)
    for place, (one, rows) in enumerate(seated):
        for other, taken in seated[:place]:
            apart = one.start_s >= other.end_s or other.start_s >= one.end_s
            assert apart or not set(rows) & set(taken)


def test_a_video_that_moves_keeps_its_rows() -> None:
    seated = seat_bars([bar(0, 1, 0, 2), bar(1, 1, 0, 4), bar(2, 2, 0, 4), bar(1, 2, 4, 6)], 4)
    before, after = (set(rows) for one, rows in seated if one.number == 1)
    assert before <= after


def test_a_submitter_that_hears_late_moves_no_bar() -> None:
    late = [bar(0, 1, 0, 2.1), bar(1, 1, 0, 9), bar(2, 1, 2.0, 4)]
    assert [rows for _, rows in seat_bars(late, 2)] == [(0,), (1,), (0,)]


def test_the_picture_shows_every_width(tmp_path: Path) -> None:
    file = tmp_path / "gangs.png"
    wide = Panel(title="2", seconds=4, bars=(bar(0, 2, 0, 2), bar(1, 2, 2, 4)))
    narrow = Panel(title="auto", seconds=3, bars=(bar(0, 1, 0, 2), bar(1, 1, 0, 1), bar(0, 3, 2, 3)))
    draw_gangs([wide, narrow], 3, "a title", file)
    with Image.open(file) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {tuple(bytes.fromhex(colour_of(width)[1:])) for width in (1, 2, 3)} <= colours


def test_a_picture_that_cannot_be_drawn_is_one_sentence(tmp_path: Path) -> None:
    panel = Panel(title="1", seconds=1, bars=(bar(0, 1, 0, 1),))
    with pytest.raises(StoreError, match="cannot be drawn"):
        draw_gangs([panel], 1, "a title", tmp_path / "gangs.nope")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--videos", "0"], "--videos is 0; it must be 1 or more"),
        (["--rounds", "0"], "--rounds is 0; it must be 1 or more"),
        (["--shapes", "64x64,96"], "WxH,WxH is wanted"),
        (["--shapes", "60x64"], "--shapes 60x64: width 60 is not divisible by 16; the nearest below is 64"),
        (["--workers", "0"], "cluster.workers is 0; it must be more than 0"),
        (["--steps", "0"], "sampling.steps is 0; it must be from 1 to 1000"),
        (["--threads", "0"], "cluster.threads_per_worker is 0; it must be more than 0"),
        (["--calibration", "none.json"], "calibration none.json cannot be read"),
        (["--plot", "gangs.txt"], "a picture is wanted"),
        (["--model", "demi"], "the nearest known one is demo"),
    ],
)
def test_what_cannot_be_compared_is_told(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", "elastic", *words])
    assert isinstance(result.exception, ConfigError)
    assert sentence in str(result.exception)


def test_a_shape_that_no_gang_can_hold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    job = mix()
    monkeypatch.setattr(job.policy, "gpu", replace(find_gpu("cpu"), memory_gb=0.001))
    with pytest.raises(ConfigError, match="the widest there is"):
        job.fixed_widths()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_variant_makes_every_video(tmp_path: Path) -> None:
    picture = tmp_path / "gangs.png"
    words = ["--videos=4", "--workers=2", "--steps=3", "--rounds=1", "--shapes=64x64,96x64", "--json"]
    command = [sys.executable, "-m", "pipelines.cli", "bench", "elastic", *words, f"--plot={picture}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said["rates"]["measured"]
    assert said["guidance"] == "batched"
    assert [one["name"] for one in said["variants"]] == ["1", "2", STAYING, AUTO]
    assert [one["videos"] for one in said["variants"]] == [4] * 4
    assert all(len(one["all_seconds"]) == 1 for one in said["variants"])
    assert all(one["seconds"] > 0 and 0 < one["busy_fraction"] <= 1.01 for one in said["variants"])
    assert all(one["widened"] == 0 for one in said["variants"][:-1])
    with Image.open(picture) as drawn:
        assert drawn.width > 1000
