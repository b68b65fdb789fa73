"""Snapshots from the parts of ranks."""

import numpy as np

from actors.engine import Snapshot, SnapshotPart, join_parts


def part(step: int, first_frame: int, frames: int) -> SnapshotPart:
    latents = np.full((1, 2, frames, 3, 3), step * 100 + first_frame, np.float32)
    share = Snapshot(step=step, latents=latents, remembered=(latents + 1,), sampler={"counter": step})
    return SnapshotPart(rank=first_frame // 9, ranks=2, axis=2, share=share)


def test_the_latest_step_that_every_rank_reached_is_taken():
    parts = [part(4, 0, 9), part(4, 9, 7), part(8, 0, 9), part(8, 9, 7), part(12, 9, 7)]
    joined = join_parts(parts)
    assert joined is not None
    assert (joined.step, joined.latents.shape) == (8, (1, 2, 16, 3, 3))
    assert joined.latents[0, 0, :, 0, 0].tolist() == [800] * 9 + [809] * 7
    assert joined.remembered[0][0, 0, :, 0, 0].tolist() == [801] * 9 + [810] * 7
    assert joined.sampler == {"counter": 8}


def test_without_a_step_that_all_ranks_reached_there_is_none():
    assert join_parts([part(4, 0, 9), part(8, 9, 7)]) is None
    assert join_parts([]) is None
