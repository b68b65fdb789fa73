"""Which rows of a dataset are shown, if not all are."""

from collections.abc import Sequence

import numpy as np

from pipelines.report.numbers import Ints, Numbers


def spread(numbers: Numbers, most: int) -> list[int]:
    """Places of rows: one of each shape, then a second one of each, and so on; small shapes first, if not all fit."""
    if not len(numbers):
        return []
    keys = np.stack([numbers.counts[name] for name in ("width", "height", "num_frames")], axis=1)
    shapes, member = np.unique(keys, axis=0, return_inverse=True)
    by_size = np.argsort(shapes.prod(axis=1), kind="stable")
    if len(shapes) > most:
        by_size = by_size[_evenly(len(shapes), most)]
    order = np.argsort(member.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(member.ravel(), minlength=len(shapes)))
    members = np.split(order, ends[:-1])
    quotas = _quotas([len(members[shape]) for shape in by_size.tolist()], most)
    picked = [
        members[shape][_evenly(len(members[shape]), quota)].tolist()
        for shape, quota in zip(by_size.tolist(), quotas, strict=True)
    ]
    rounds = max(quotas, default=0)
    return [row[place] for place in range(rounds) for row in picked if place < len(row)]


def _quotas(sizes: Sequence[int], most: int) -> list[int]:
    """How many of each group, as equal as the groups allow, `most` in all."""
    quotas = [0] * len(sizes)
    left = min(most, sum(sizes))
    while left:
        open_ = [group for group, size in enumerate(sizes) if quotas[group] < size]
        share = max(1, left // len(open_))
        for group in open_[:left]:
            more = min(share, sizes[group] - quotas[group])
            quotas[group] += more
            left -= more
    return quotas


def _evenly(count: int, chosen: int) -> Ints:
    """`chosen` of `count` places, evenly apart."""
    return np.asarray(np.linspace(0, count - 1, min(chosen, count)).round(), np.int64)
