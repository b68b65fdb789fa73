"""Snapshots from the parts of ranks."""

import numpy as np
import pytest
import torch
from diffusers import HeunDiscreteScheduler, PNDMScheduler

from actors.engine import FrameParallel, Snapshot, SnapshotPart, join_parts
from actors.engine.sampler_state import resume, take_part


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


@pytest.mark.parametrize("step", [1, 6, 14])
def test_a_snapshot_stays_what_it_is_while_runs_go_on_from_it(step):
    """PNDM adds to what it remembers in place, and floats on the CPU could share its memory."""

    def go_on(scheduler, latents, first, last):
        for timestep in scheduler.timesteps[first:last]:
            latents = scheduler.step(torch.sin(latents) * timestep / 1000, timestep, latents).prev_sample
        return latents

    parallel, made = FrameParallel(2, 4), [PNDMScheduler() for _ in range(3)]
    for scheduler in made:
        scheduler.set_timesteps(8)
    begun = go_on(made[0], torch.randn(1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(0)), 0, step)
    snapshot = join_parts([take_part(step, begun, made[0], parallel)])
    ends = [go_on(made[0], begun, step, None)]
    ends += [go_on(other, resume(snapshot, other, parallel, begun), step, None) for other in made[1:]]
    assert torch.equal(ends[1], ends[0])
    assert torch.equal(ends[2], ends[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("step", [4, 5])
def test_what_a_sampler_remembers_keeps_its_type_and_its_lone_numbers(step, dtype):
    """Heun's second half of a step reads the slope of the first, in its own precision, and how long the step is."""
    parallel, begun = FrameParallel(2, 4), torch.randn(1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    first, other = HeunDiscreteScheduler(), HeunDiscreteScheduler()
    for scheduler in (first, other):
        scheduler.set_timesteps(8)
    latents = begun
    for timestep in first.timesteps[:step]:
        latents = first.step(torch.sin(latents), timestep, latents).prev_sample
    latents = latents.to(dtype)
    snapshot = join_parts([take_part(step, latents, first, parallel)])
    assert snapshot is not None
    resumed = resume(snapshot, other, parallel, latents)
    assert resumed.dtype == dtype
    assert (other.dt is None) == (first.dt is None)
    assert other.dt == first.dt
    timestep = first.timesteps[step]
    ends = [each.step(torch.sin(latents), timestep, latents).prev_sample for each in (first, other)]
    assert torch.equal(*ends)
    assert ends[0].dtype == ends[1].dtype
