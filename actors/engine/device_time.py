"""How long a call takes on the device that it works on, and the most that the device does."""

import time
from collections.abc import Callable
from statistics import median

import torch

_EDGE = {"cuda": 8192, "cpu": 1024}
_REPEATS = 10


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of `call`: by CUDA events around it on a GPU that has nothing else to do, by the clock elsewhere."""
    if device.type != "cuda":
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1000


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large square matrix product on random numbers, the median of ten after a warm-up."""
    edge = _EDGE[device.type]
    left, right = (torch.randn(edge, edge, device=device, dtype=dtype) for _ in range(2))
    seconds = [timed(lambda: torch.matmul(left, right), device) for _ in range(_REPEATS + 3)]
    return 2 * edge**3 / median(seconds[3:])
