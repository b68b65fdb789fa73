"""Which videos the page shows, and what of each: the video itself while the budget lasts, else a still."""

import base64
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.commits import CommittedSample
from pipelines.report.dataset import Dataset
from pipelines.report.numbers import Ints, Numbers
from pipelines.report.still import NoPicture, first_frame
from pipelines.store import NotFound, Store


@dataclass(frozen=True, kw_only=True)
class Card:
    """A video as the page shows it."""

    sample: CommittedSample
    video: str = ""
    """A data: URI; empty if it is left out."""
    still: str = ""
    """Likewise, a picture of it."""
    problem: str = ""
    """Why there is neither."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Videos that were chosen; nothing of them is read until `cards` are asked for, one after the other."""

    store: Store
    samples: tuple[CommittedSample, ...]
    embedded: frozenset[str]
    """Files of those that fit the budget."""

    @property
    def stills(self) -> int:
        """How many do not."""
        return len(self.samples) - len(self.embedded)

    @property
    def form(self) -> str:
        """What most of them are: tall, square, wide or wider, as page.css has boxes for them."""
        forms = Counter(_form(sample.width / max(sample.height, 1)) for sample in self.samples)
        return forms.most_common(1)[0][0] if forms else "square"

    def cards(self) -> Iterator[Card]:
        """What to show, with one video at a time in memory."""
        for sample in self.samples:
            try:
                yield _card(self.store, sample, is_whole=sample.file_name in self.embedded)
            except (NotFound, ValueError):  # ValueError: no key at all
                yield Card(sample=sample, problem=f"{sample.file_name} is gone")
            except NoPicture as problem:
                yield Card(sample=sample, problem=f"{sample.file_name}: {problem}")


def choose_gallery(dataset: Dataset, numbers: Numbers, most: int, budget_bytes: int) -> Gallery:
    """At most `most` videos, spread evenly over the shapes; those that come first are embedded while the budget lasts.

    `budget_bytes` is of the page, where three bytes of a file take four.
    """
    samples = dataset.rows(_spread(numbers, most))
    embedded, left = set(), budget_bytes
    for sample in samples:
        size = _encoded(sample.video_bytes or _size(dataset.store, sample))
        if size <= left:
            left -= size
            embedded.add(sample.file_name)
    return Gallery(store=dataset.store, samples=tuple(sorted(samples, key=_order)), embedded=frozenset(embedded))


def _spread(numbers: Numbers, most: int) -> list[int]:
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


def _card(store: Store, sample: CommittedSample, *, is_whole: bool) -> Card:
    if not is_whole:
        with store.open(sample.file_name) as file:
            return Card(sample=sample, still=_uri("image/webp", first_frame(file)))
    data = store.get(sample.file_name)
    still = first_frame(io.BytesIO(data))
    return Card(sample=sample, video=_uri("video/mp4", data), still=_uri("image/webp", still))


def _form(aspect: float) -> str:
    bounds = {"tall": 0.8, "square": 1.15, "wide": 1.6}
    return next((form for form, bound in bounds.items() if aspect < bound), "wider")


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _encoded(size: int) -> int:
    return -(-size // 3) * 4


def _size(store: Store, sample: CommittedSample) -> int:
    try:
        found = store.stat(sample.file_name)
    except ValueError:  # no key at all
        return 0
    return 0 if found is None else found.size


def _order(sample: CommittedSample) -> tuple[int, int, str, int]:
    return sample.width * sample.height * sample.num_frames, sample.width, sample.prompt, sample.seed
