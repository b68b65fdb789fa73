"""Compiles what a kind of request needs, before the first one comes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from actors.engine.collectives import Collectives
from actors.engine.families.family import Family
from actors.engine.guidance import GuidedDenoiser
from actors.engine.lone_rank import LoneRank
from actors.engine.request import RunOptions, VideoRequest
from actors.engine.step_patterns import StepPattern, first_step, step_patterns
from cluster.cache_budget import plan_schedule
from cluster.guidance import Layout
from cluster.model import ModelNumbers


@dataclass(frozen=True, kw_only=True)
class Warmth:
    """What a warm-up did."""

    graphs: int
    """That the model's blocks have by now."""
    seconds: float


class WarmUp:
    """Runs one step of each pattern of a request's schedule, as a rank of its gang would, without the others.

    What a step reads is computed by blocks as they are written, so no graph is made that no such request needs.
    """

    def __init__(self, model: Family, numbers: ModelNumbers, request: VideoRequest, options: RunOptions) -> None:
        self._model = model
        self._numbers = numbers
        self._request = request
        scale, shape = numbers.vae_scale, request.shape
        size = (numbers.latent_channels, numbers.latent_frames(shape), shape.height // scale, shape.width // scale)
        self._noise_1CThw = model.noise(size, request.seed)
        self._options = options
        self._timesteps = model.sampler(request.steps, shape).timesteps
        self._schedule = plan_schedule(request.pab, self._timesteps.tolist(), numbers, shape, branches=request.branches)

    @torch.no_grad()
    def run(self, width: int) -> Warmth:
        """For gangs of `width`, as each of its ranks, for it may become any: alike shares have the same graphs."""
        begun = time.monotonic()
        splits = Layout.of(self._options.guidance, self._request.branches, width).splits(width)
        for collectives in _ranks(width, splits=splits):
            for pattern in step_patterns(self._schedule, self._numbers):
                self._step(pattern, collectives, splits=splits)
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        return Warmth(graphs=self._model.blocks.graphs, seconds=time.monotonic() - begun)

    def _step(self, pattern: StepPattern, collectives: Collectives, *, splits: bool) -> None:
        like = first_step(pattern, self._schedule, self._numbers)
        guided = self._guided(pattern, like, splits=splits)
        parallel = guided.share_out(self._noise_1CThw, collectives)
        part, timestep = parallel.share(self._noise_1CThw), self._timesteps[like]
        with self._model.blocks.as_written():
            guided(part, timestep, 0, parallel)
        guided(part, timestep, 1, parallel)

    def _guided(self, pattern: StepPattern, like: int, *, splits: bool) -> GuidedDenoiser:
        """With the branches that a rank has: one of them where each half of the gang has its own."""
        request = self._request
        both = request.branches == 2 and not splits
        text, negative_text = self._model.encode(request.prompt, request.negative_prompt if both else None)
        return GuidedDenoiser.build(
            self._model.denoiser(request.shape, request.fps),
            text,
            negative_text,
            request.guidance_scale,
            pattern.alone(self._schedule, like),
            "two_pass" if self._options.guidance == "two_pass" else "batched",
            in_float32=self._model.predicts_float32,
        )


def _ranks(width: int, *, splits: bool) -> Iterator[Collectives]:
    sharing = width // 2 if splits else width
    if sharing == 1:
        yield Collectives()
        return
    yield from (LoneRank(sharing, rank) for rank in range(sharing))
