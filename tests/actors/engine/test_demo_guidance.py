"""Under PAB each guidance branch of the bundled model keeps its own outputs, in as few bits as asked."""

import numpy as np
import pytest
import torch

from actors.engine import Engine, RunOptions, VideoRequest
from actors.engine.cache import BroadcastCache
from actors.engine.guidance import Branch, GuidedDenoiser
from cluster.pab import PabConfig
from cluster.schedule import BroadcastSchedule

PAB246 = PabConfig(spatial=2, temporal=4, cross=6, timesteps=(100, 800))
TWO_PASS = RunOptions(guidance="two_pass")


@pytest.fixture(scope="module")
def engine(demo_model) -> Engine:
    return Engine.load(str(demo_model))


def request(engine: Engine, pab: PabConfig) -> VideoRequest:
    return VideoRequest(
        prompt="a small yellow ring moving up slowly over a navy background",
        seed=3,
        height=64,
        width=64,
        num_frames=16,
        steps=30,
        guidance_scale=4.0,
        model="demo",
        model_revision=engine.card.revision,
        pab=pab,
    )


class Followed:
    """A guided run that notes how far apart its branches are, and may run one of them alone beside it."""

    def __init__(self, engine: Engine, pab: PabConfig) -> None:
        asked = request(engine, pab)
        self.scheduler = engine.model.sampler(asked.steps, asked.shape)
        self.schedule = BroadcastSchedule.build(pab, self.scheduler.timesteps.tolist())
        self.guided = engine._guided(asked, self.schedule, TWO_PASS)
        self.latents = engine._noise(asked)
        self.distances: list[float] = []

    @torch.no_grad()
    def run(self, beside: GuidedDenoiser | None = None) -> None:
        parallel = self.guided.share_out(self.latents)
        for step, timestep in enumerate(self.scheduler.timesteps):
            uncond, cond = self.guided.predictions(self.latents, timestep, step, parallel)
            if beside is not None:
                assert torch.equal(beside.predictions(self.latents, timestep, step, parallel)[0], cond)
            self.distances.append(float((cond - uncond).norm()))
            guided = uncond + 4.0 * (cond - uncond)
            self.latents = self.scheduler.step(guided, timestep, self.latents, return_dict=False)[0]


@pytest.mark.slow
def test_the_branches_stay_as_far_apart_as_without_pab(engine):
    # Temporal attention is left out: every 4 steps, it moves them 7 % apart by itself.
    off, pab = Followed(engine, PabConfig()), Followed(engine, PabConfig(spatial=2, cross=6, timesteps=(100, 800)))
    off.run()
    pab.run()
    assert len(pab.distances) == 30
    assert np.mean(pab.distances) == pytest.approx(np.mean(off.distances), rel=0.05)


@pytest.mark.slow
def test_a_branch_is_what_it_is_alone(engine):
    both = Followed(engine, PAB246)
    text = both.guided._branches[1].text_BLD
    denoiser = engine.model.denoiser(request(engine, PAB246).shape, fps=8)
    alone = GuidedDenoiser(
        denoiser, (Branch(text, BroadcastCache(both.schedule)),), 1.0, None, split=False, in_float32=False
    )
    both.run(beside=alone)
    assert alone.cache_bytes == both.guided.cache_bytes == 0


@pytest.mark.slow
def test_a_cache_in_8_bits_changes_next_to_nothing_and_takes_a_quarter(engine):
    whole = engine.generate(request(engine, PAB246))
    eight = engine.generate(request(engine, PabConfig(**{**vars(PAB246), "cache_dtype": "fp8"})))
    error = np.mean((whole.frames.astype(float) - eight.frames.astype(float)) ** 2)
    assert error > 0
    assert 10 * np.log10(255**2 / error) >= 40
    # A float32 scale for each token of 256.
    hidden = engine.card.numbers.hidden_size
    assert eight.report.cache_peak_bytes * 4 * hidden == whole.report.cache_peak_bytes * (hidden + 4)
