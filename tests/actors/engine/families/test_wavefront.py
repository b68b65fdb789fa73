"""A causal decoder shared out over a gang: one worker's frames to the bit, whatever the chunks and the ranks."""

from functools import cache

import numpy as np
import pytest

from actors.engine.peers import Peers
from tests.actors.engine.families.decoding import TIME_LAYERS, decode, in_processes, in_threads, model

WIDTHS = (2, 3, 4)
# By latent frames, the chunks that diffusers makes of them.
CHUNKS = {
    "cogvideox": {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 9: 4, 15: 7},
    "wan": {1: 1, 2: 2, 3: 3, 4: 4, 7: 7},
}
CASES = [(name, latent_frames) for name, chunks in CHUNKS.items() for latent_frames in chunks]


@cache
def alone(name: str, latent_frames: int) -> np.ndarray:
    return decode(model(name), latent_frames, Peers())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("name", "latent_frames"), CASES)
def test_rank_0_of_a_gang_gets_the_frames_of_one_worker_to_the_bit_and_the_others_none(name, latent_frames, width):
    wanted = alone(name, latent_frames)
    (first, *others), _ = in_threads(name, latent_frames, width)
    assert np.array_equal(first, wanted)
    assert [frames.shape for frames in others] == [(0, *wanted.shape[1:])] * (width - 1)
    assert wanted.std() > 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CHUNKS)
def test_each_layer_hands_on_once_a_chunk_and_each_rank_its_frames_once(name, width):
    latent_frames, chunks = list(CHUNKS[name].items())[-1]
    _, ranks = in_threads(name, latent_frames, width)
    handed_on = [TIME_LAYERS[name] * len(range(rank, chunks - 1, width)) for rank in range(width)]
    assert [peers.sent.calls for peers in ranks] == [calls + (rank > 0) for rank, calls in enumerate(handed_on)]
    assert all(peers.sent.bytes > 0 for peers in ranks)
    assert {peers.most_sending for peers in ranks} == {1}


@pytest.mark.slow
def test_gangs_of_processes_do_too(tmp_path):
    cases = [(*case, width) for case in CASES for width in WIDTHS]
    for (name, latent_frames, _), frames in in_processes(cases, tmp_path).items():
        assert np.array_equal(frames, alone(name, latent_frames))
