"""The making of an accepted video by a real pool, into a store."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors.engine import inspect_model
from pipelines.serving.config import ServeConfig, load_serve_config
from pipelines.serving.job import Outcome, VideoJob
from pipelines.serving.jobs import VideoJobs, content_key
from pipelines.serving.maker import Maker
from pipelines.serving.pool_hold import PoolHold
from pipelines.serving.queue import Entry
from pipelines.store import LocalStore
from pipelines.width_policy import WidthPolicy
from tests.pipelines.samples import request

DEADLINE_S = 4.0


class Kitchen:
    """A maker, its pool of one worker and its store."""

    def __init__(self, config: ServeConfig, folder: Path) -> None:
        card = inspect_model(config.model.folder)
        self.jobs = VideoJobs(LocalStore(folder))
        self.pool = PoolHold(config.cluster.pool_spec(card.path), list)
        self.maker = Maker(config, self.pool, self.jobs, WidthPolicy.of(config, card.numbers, 1))

    def entry(self, *, steps: int, seconds: float = 0.1) -> Entry:
        """An accepted job that is said to take so long."""
        job = VideoJob.new("ann", request(steps=steps), 3600)
        self.jobs.accept(job)
        return Entry(job=job, seconds=seconds)


@pytest.fixture
def kitchen(ray_session: None, tiny_model: Path, tmp_path: Path) -> Iterator[Kitchen]:
    overrides = [f"model={tiny_model}", f"limits.deadline_s={DEADLINE_S}", "gang.width=1", "pab=off"]
    overrides += ["cluster.workers=1", "cluster.threads_per_worker=1", f"store.uri={tmp_path}/store"]
    kitchen = Kitchen(load_serve_config("configs/serve.yaml", overrides), tmp_path / "store")
    asyncio.run(kitchen.pool.get()).wait_ready(120)
    yield kitchen
    kitchen.pool.close()


def test_a_video_that_cannot_be_made_by_its_deadline_takes_no_gang(kitchen: Kitchen) -> None:
    async def scene() -> tuple[Entry, list[Outcome], bool]:
        running = kitchen.entry(steps=1000)
        making = asyncio.ensure_future(kitchen.maker.make(running))
        while running.step is None:
            assert not making.done(), making.result()
            await asyncio.sleep(0.02)
        begun = asyncio.get_running_loop().time()
        waiting = kitchen.entry(steps=4)
        outcomes = [await kitchen.maker.make(waiting), await kitchen.maker.make(kitchen.entry(steps=4, seconds=99.0))]
        assert asyncio.get_running_loop().time() - begun < 2 * DEADLINE_S
        goes_on = not making.done()
        making.cancel()
        with suppress(asyncio.CancelledError):
            await making
        # The gang is free again, and what is in time is made.
        outcomes.append(await kitchen.maker.make(kitchen.entry(steps=2)))
        return waiting, outcomes, goes_on

    waiting, (late, hopeless, made), goes_on = asyncio.run(scene())
    assert (late.result, late.code, waiting.step) == ("failed", "deadline_exceeded", None)
    assert late.message.startswith("it waited 3.9 s, takes 0.1 s and would not have been made within the 4 s")
    assert (hopeless.code, hopeless.message[:12]) == ("deadline_exceeded", "it waited 0.")
    assert goes_on, "a video that runs was given up"
    assert made.result == "completed"
    assert kitchen.jobs.outcome(waiting.job.id) == late
    assert not kitchen.jobs.store.exists(content_key(waiting.job.id, "video"))
