"""A simulated worker: it sleeps instead of making videos, so that the pool around it can be measured."""

import pickle
import time
from typing import Any

import numpy as np
import ray

from actors.engine.report import VideoReport
from actors.engine.stop import StopSignal
from actors.order import Order, RankAnswer
from actors.seat import Seat
from actors.worker import THREADS, Worker
from cluster.errors import GangError

_SLICE_S = 0.05
"""How often it looks whether it is to stop."""


class Sleeper(Worker):
    """Answers as a worker does, loads no torch and no model, and takes `spec.simulated_s` over a video."""

    @ray.method(concurrency_group="run")
    def load(self) -> str:
        """Nothing is loaded."""
        self._loaded = True
        return ""

    @ray.method(concurrency_group="run")
    def open_store(self, width: int, timeout_s: float) -> tuple[str, int]:
        """There is nothing to meet at."""
        return "", 0

    @ray.method(concurrency_group="run")
    def join(self, seat: Seat) -> None:
        """Take a seat; nobody is waited for."""
        self._generation, self._rank, self._width = seat.generation, seat.rank, seat.width

    @ray.method(concurrency_group="run")
    def reset(self, generation: int) -> None:
        """Be rank 0 of 1 in `generation`."""
        self._generation, self._rank, self._width = generation, 0, 1

    @ray.method(concurrency_group="run")
    def leave(self, generation: int) -> None:
        """There is no group to leave."""

    def _generate(self, order: Order, generation: int, signal: StopSignal) -> tuple[Any, RankAnswer]:
        if generation != self._generation:
            raise GangError(f"it was called in generation {generation} and is in {self._generation}")
        begun = time.monotonic()
        end = begun + (self._spec.simulated_s or 0.0)
        while (left := end - time.monotonic()) > 0:
            step = int((1 - left / (end - begun)) * order.steps)
            signal.begin(step)
            time.sleep(min(left, _SLICE_S))
            self._finished(step)
        seconds = time.monotonic() - begun
        report = VideoReport(
            gang=self._width,
            rank=self._rank,
            steps=order.steps,
            seconds=seconds,
            text_seconds=0.0,
            denoise_seconds=seconds,
            decode_seconds=0.0,
            computed={},
        )
        frames = np.zeros((1, 8, 8, 3), dtype=np.uint8)
        return (frames, None), RankAnswer(first_frame=self._rank, report=pickle.dumps(report), figures=report.figures)


RemoteSleeper: Any = ray.remote(**THREADS)(Sleeper)
"""A simulated worker as a Ray actor."""
