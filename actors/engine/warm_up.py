"""Compiles what a kind of request needs, before the first one comes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from actors.engine.collectives import Collectives
from actors.engine.families.family import Family
from actors.engine.guidance import GuidedDenoiser
from actors.engine.request import RunOptions, VideoRequest
from actors.engine.step_patterns import StepPattern, first_step, step_patterns
from cluster.cache_budget import plan_schedule
from cluster.guidance import Layout
from cluster.model import ModelNumbers

Texts = tuple[torch.Tensor, torch.Tensor | None]
"""Features of the prompt and of the negative one, each (1, L, K)."""


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
        shape = request.shape
        self._noise_1CThw = model.noise(numbers.latent_size(shape), request.seed)
        self._options = options
        self._timesteps = model.sampler(request.steps, shape).timesteps
        self._schedule = plan_schedule(request.pab, self._timesteps.tolist(), numbers, shape, branches=request.branches)

    @torch.no_grad()
    def run(self, width: int) -> Warmth:
        """For gangs of `width`, as each of its ranks, for it may become any."""
        begun = time.monotonic()
        splits = Layout.of(self._options.guidance, self._request.branches, width).splits(width)
        texts = self._texts(splits=splits)
        for collectives in self._unlike_ranks(texts[0], width // 2 if splits else width):
            for pattern in step_patterns(self._schedule, self._numbers):
                self._step(pattern, collectives, texts)
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        return Warmth(graphs=self._model.blocks.graphs, seconds=time.monotonic() - begun)

    def _step(self, pattern: StepPattern, collectives: Collectives, texts: Texts) -> None:
        like = first_step(pattern, self._schedule, self._numbers)
        guided = self._guided(pattern, like, texts)
        parallel = guided.share_out(self._noise_1CThw, collectives)
        part, timestep = parallel.share(self._noise_1CThw), self._timesteps[like].to(self._noise_1CThw.device)
        with self._model.blocks.as_written():
            guided(part, timestep, 0, parallel)
        guided(part, timestep, 1, parallel)

    def _texts(self, *, splits: bool) -> Texts:
        """Of the branches that a rank has: one of them where each half of the gang has its own."""
        request = self._request
        both = request.branches == 2 and not splits
        return self._model.encode(request.prompt, request.negative_prompt if both else None)

    def _unlike_ranks(self, text_1LK: torch.Tensor, width: int) -> Iterator[Collectives]:
        """One rank for each size of a share; those of one size need the same graphs."""
        denoiser = self._model.denoiser(self._request.shape, self._request.fps)
        text_1LD, seen = denoiser.project_text(text_1LK), set()
        for collectives in [Collectives()] if width == 1 else [Collectives.lone(width, rank) for rank in range(width)]:
            parallel = denoiser.share_out(self._noise_1CThw, text_1LD, collectives)
            kind = (parallel.share(self._noise_1CThw).shape, parallel.graph_key)
            if kind not in seen:
                seen.add(kind)
                yield collectives

    def _guided(self, pattern: StepPattern, like: int, texts: Texts) -> GuidedDenoiser:
        request = self._request
        return GuidedDenoiser.build(
            self._model.denoiser(request.shape, request.fps),
            *texts,
            request.guidance_scale,
            pattern.alone(self._schedule, like),
            "two_pass" if self._options.guidance == "two_pass" else "batched",
            in_float32=self._model.predicts_float32,
        )
