"""Gangs of 2, 3 and 4 against one worker: same video, and just the collectives that were forecast."""

from dataclasses import replace

import numpy as np
import pytest

from actors.engine import Engine, RunOptions, VideoRequest, inspect_model, timesteps
from cluster.forecast import forecast
from cluster.pab import KINDS, MlpReuse, PabConfig
from cluster.schedule import BroadcastSchedule
from tests.actors.engine.gang import Case, run_gangs

PABS = {
    "off": PabConfig(),
    "pab246": PabConfig(spatial=2, temporal=4, cross=6, timesteps=(100, 800)),
    "pab579": PabConfig(spatial=5, temporal=7, cross=9, timesteps=(100, 800)),
    "mlp": PabConfig(
        spatial=2, temporal=3, cross=6, window=(0.1, 0.9), mlp=MlpReuse(blocks=(0,), starts=(700,), steps=2)
    ),
}
WIDTHS = (2, 3, 4)


def request(pab: PabConfig) -> VideoRequest:
    return VideoRequest(
        prompt="a red circle moving left over a black background",
        seed=7,
        height=32,
        width=40,
        num_frames=16,
        steps=12,
        guidance_scale=4.0,
        model="tiny",
        model_revision="test",
        pab=pab,
    )


@pytest.fixture(scope="module")
def gangs(tiny_model, tmp_path_factory):
    options = RunOptions(return_latents=True, snapshot_every=2)
    cases = [Case(f"{name}-{width}", width, request(pab), options) for name, pab in PABS.items() for width in WIDTHS]
    for guidance in ("split", "two_pass"):
        other = RunOptions(return_latents=True, guidance=guidance)
        cases += [Case(f"{guidance}-{width}", width, request(PABS["pab246"]), other) for width in WIDTHS]
    cases += [Case(f"resumed-{width}", width, request(PABS["pab246"]), options, "pab246-2") for width in (1, 3, 4)]
    halves = RunOptions(return_latents=True, snapshot_every=2, guidance="split")
    cases.append(Case("split-4-kept", 4, request(PABS["pab246"]), halves))
    cases += [
        Case(f"resumed-split-{width}", width, request(PABS["pab246"]), halves, "split-4-kept") for width in (1, 2)
    ]
    return run_gangs(tiny_model, cases, tmp_path_factory.mktemp("gangs"))


@pytest.fixture(scope="module")
def alone(tiny_model):
    engine = Engine.load(str(tiny_model))
    options = RunOptions(return_latents=True)
    return {name: engine.generate(request(pab), options=options) for name, pab in PABS.items()}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_a_gang_makes_what_one_worker_makes(gangs, alone, pab, width):
    latents = gangs[f"{pab}-{width}"]["latents"]
    assert np.abs(latents - alone[pab].latents).max() <= 1e-4 * alone[pab].latents.std()
    frames = gangs[f"{pab}-{width}"]["frames"]
    assert frames.shape == alone[pab].frames.shape
    assert np.abs(frames.astype(int) - alone[pab].frames.astype(int)).max() <= 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_what_is_sent_and_held_is_what_was_forecast(tiny_model, gangs, pab, width):
    asked = request(PABS[pab])
    schedule = BroadcastSchedule.build(asked.pab, timesteps(tiny_model, asked.steps, asked.shape))
    said = forecast(inspect_model(tiny_model).numbers, asked.shape, schedule, width)
    report = gangs[f"{pab}-{width}"]["report"]
    assert report.all_to_all == said.all_to_all
    assert report.all_gather == said.all_gather
    assert report.swaps == said.swaps
    assert report.cache_peak_bytes == said.cache_bytes
    without = forecast(
        inspect_model(tiny_model).numbers, asked.shape, BroadcastSchedule.build(PABS["off"], schedule.timesteps), width
    )
    assert report.bytes_saved == without.all_to_all.bytes - said.all_to_all.bytes
    assert (report.bytes_saved > 0) == (not all(schedule.table["temporal"]))


def test_a_video_that_went_on_from_a_snapshot_saves_what_is_broadcast_from_there_on(tiny_model, gangs):
    resumed, asked = gangs["resumed-3"], request(PABS["pab246"])
    schedule = BroadcastSchedule.build(asked.pab, timesteps(tiny_model, asked.steps, asked.shape))
    computes = schedule.table["temporal"][resumed["resumed_at"] :]
    report = resumed["report"]
    a_step = report.all_to_all.bytes // sum(computes)
    assert report.bytes_saved == a_step * computes.count(False)


def test_metrics_are_of_the_kinds_that_the_model_has(gangs):
    report = gangs["pab246-2"]["report"]
    assert report.figures.broadcast == {kind: 12 - report.computed[kind] for kind in KINDS}
    without_cross = replace(report, kinds=("spatial", "temporal", "mlp")).figures
    assert set(without_cross.computed) == set(without_cross.broadcast) == {"spatial", "temporal", "mlp"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("guidance", ["split", "two_pass"])
def test_guidance_may_run_otherwise_for_the_same_video_and_the_cost_that_was_forecast(
    tiny_model, gangs, alone, guidance, width
):
    asked, found = request(PABS["pab246"]), gangs[f"{guidance}-{width}"]
    assert np.abs(found["latents"] - alone["pab246"].latents).max() <= 1e-4 * alone["pab246"].latents.std()
    schedule = BroadcastSchedule.build(asked.pab, timesteps(tiny_model, asked.steps, asked.shape))
    said = forecast(inspect_model(tiny_model).numbers, asked.shape, schedule, width, guidance=guidance)
    report = found["report"]
    assert (report.all_to_all, report.all_gather, report.swaps) == (said.all_to_all, said.all_gather, said.swaps)
    assert report.cache_peak_bytes == said.cache_bytes


def test_halves_with_a_branch_each_send_less_than_ranks_with_both(gangs):
    assert gangs["split-2"]["report"].all_to_all.calls == 0
    assert gangs["split-2"]["report"].swaps.calls == gangs["split-4"]["report"].swaps.calls == 12
    assert gangs["split-4"]["report"].all_to_all.calls == gangs["pab246-4"]["report"].all_to_all.calls
    assert gangs["pab246-4"]["report"].swaps.calls == gangs["split-3"]["report"].swaps.calls == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("pab", PABS)
def test_a_step_that_broadcasts_temporal_attention_makes_no_all_to_all(tiny_model, gangs, pab, width):
    asked = request(PABS[pab])
    schedule = BroadcastSchedule.build(asked.pab, timesteps(tiny_model, asked.steps, asked.shape))
    layers = 2
    expected = [2 * layers * computes for computes in schedule.table["temporal"]]
    assert gangs[f"{pab}-{width}"]["exchanges"] == expected


@pytest.mark.parametrize("name", ["resumed-1", "resumed-3", "resumed-4", "resumed-split-1", "resumed-split-2"])
def test_a_snapshot_of_a_gang_goes_on_at_any_width_with_guidance_split_or_not(gangs, alone, name):
    resumed = gangs[name]
    assert 6 <= resumed["resumed_at"] < 12
    assert len(resumed["exchanges"]) == 12 - resumed["resumed_at"]
    assert np.abs(resumed["latents"] - alone["pab246"].latents).max() <= 1e-4 * alone["pab246"].latents.std()


def test_snapshots_are_taken_before_full_steps_as_far_apart_as_asked(tiny_model, gangs):
    asked = request(PABS["pab246"])
    schedule = BroadcastSchedule.build(asked.pab, timesteps(tiny_model, asked.steps, asked.shape))
    wanted = list(schedule.snapshot_steps(2))
    assert wanted == [2, 11]
    assert sorted({part.step for part in gangs["pab246-2"]["snapshots"]}) == wanted
    assert len(gangs["pab246-2"]["snapshots"]) == 2 * len(wanted)
    assert {part.ranks for part in gangs["split-4-kept"]["snapshots"]} == {2}
