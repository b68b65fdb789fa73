"""Open-Sora-Plan in gangs, driven as Latte is."""

import pytest

from tests.actors.engine.models.frames import PABS, open_sora_plan, run, run_gangs

NAME = "open-sora-plan"


@pytest.fixture(scope="module")
def gangs(tmp_path_factory):
    return run_gangs([NAME], [2], tmp_path_factory.mktemp("open_sora_plan"))


@pytest.mark.slow
@pytest.mark.parametrize("pab", PABS)
def test_a_gang_makes_what_one_worker_makes(gangs, pab):
    expected = run(NAME, pab).latents
    assert (gangs[NAME, pab, 2].latents - expected).abs().max() <= 1e-4 * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize("pab", PABS)
def test_what_is_sent_and_held_is_what_was_forecast(gangs, pab):
    said, gang = open_sora_plan().forecast(pab, 2), gangs[NAME, pab, 2]
    assert gang.all_to_all == said.all_to_all
    assert gang.all_gather == said.all_gather
    assert gang.cache_peak_bytes == said.cache_bytes
