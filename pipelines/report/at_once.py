"""How many workers a run had, as far as its videos tell."""

import numpy as np

from pipelines.report.numbers import Numbers

_OVERLAP_S, _UNTIMED_OVERLAP_S = 0.3, 2.0
"""How long a video may seem to run when its worker has the next one already; more where only its commit has a time."""


def workers_at_once(numbers: Numbers) -> int:
    """The most workers that made videos at the same time, of the videos whose time and width are known; 0 without."""
    gang = numbers.counts["gang_width"]
    known = ~np.isnan(numbers.start) & (numbers.seconds > 0) & (gang > 0)
    if not known.any():
        return 0
    start, gang = numbers.start[known], gang[known]
    spare = np.where(numbers.is_timed[known], _OVERLAP_S, _UNTIMED_OVERLAP_S)
    end = np.maximum(start + numbers.seconds[known] - spare, start)
    moments = np.concatenate((end, start))  # what ends makes room for what starts in the same moment
    order = np.argsort(moments, kind="stable")
    return max(int(gang.max()), int(np.cumsum(np.concatenate((-gang, gang))[order]).max()))
