"""Time-boxed training phases: progress, learning rate and averaged weights."""

import math
import sys
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def say(text: str) -> None:
    """One line of progress on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Clock:
    """Counts the steps of a phase that lasts `seconds`, and at most `max_steps` steps."""

    def __init__(self, seconds: float, *, max_steps: int | None = None) -> None:
        self.seconds = seconds
        self.max_steps = max_steps
        self.step = 0
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the phase began."""
        return time.monotonic() - self._start

    @property
    def progress(self) -> float:
        """The share of the phase that is over, 0 to 1."""
        by_time = self.elapsed_s / self.seconds
        by_steps = self.step / self.max_steps if self.max_steps else 0.0
        return min(1.0, max(by_time, by_steps))

    def steps(self) -> Iterator[int]:
        """Step numbers from 0 until the phase is over; at least one."""
        while self.step == 0 or self.progress < 1:
            yield self.step
            self.step += 1

    def learning_rate(self, peak: float, *, warmup_steps: int, hold: float = 0.0) -> float:
        """Linear warm-up over steps, `hold` of the phase at the peak, then a cosine down to 0."""
        fall = min(1.0, max(0.0, (self.progress - hold) / (1 - hold)))
        return peak * min(1.0, (self.step + 1) / warmup_steps) * 0.5 * (1 + math.cos(math.pi * fall))


class AveragedWeights:
    """An exponential moving average of parameters."""

    def __init__(self, parameters: Sequence[Tensor], *, decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.average = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the average towards the parameters; early steps move it more."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, self.parameters, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the average and the parameters."""
        for parameter, average in zip(self.parameters, self.average, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
