"""Which videos the page shows, and what of each: the video itself while the budget lasts, else a still."""

import base64
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from markupsafe import Markup

from cluster.errors import StoreError
from pipelines.commits import CommittedSample
from pipelines.report.dataset import Dataset
from pipelines.report.file_problem import check_name, file_problem, spell_problem
from pipelines.report.numbers import Numbers
from pipelines.report.short_text import MOST_OF_A_NAME, shortened
from pipelines.report.spread import spread
from pipelines.report.still import NoPicture, first_frame
from pipelines.store import NotFound, Outside, Store


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


@dataclass
class Tally:
    """What became of the videos that were chosen, counted as their cards are made."""

    embedded: int = 0
    stills: int = 0
    problems: list[str] = field(default_factory=list)
    """Of the others, in a sentence each."""

    def count(self, card: Card) -> None:
        """One more."""
        if card.problem:
            self.problems.append(card.problem)
        else:
            self.embedded += bool(card.video)
            self.stills += not card.video


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Videos that were chosen; nothing of them is read until `cards` are asked for, one after the other."""

    store: Store
    samples: tuple[CommittedSample, ...]
    sizes: Mapping[str, int | None]
    """Of their files, in the store; None where a card will say why."""
    embedded: frozenset[str]
    """Files of those that fit the budget."""
    tally: Tally = field(default_factory=Tally)
    """Filled by `cards`."""

    @property
    def form(self) -> str:
        """What most of them are: tall, square, wide or wider, as page.css has boxes for them."""
        forms = Counter(_form(sample.width / max(sample.height, 1)) for sample in self.samples)
        return forms.most_common(1)[0][0] if forms else "square"

    def cards(self) -> Iterator[Card]:
        """What to show, with one video at a time in memory.

        Raises `StoreError` if the store cannot be used any more; what is wrong with one video is on its card.
        """
        for sample in self.samples:
            card = self._card(sample)
            self.tally.count(card)
            yield card

    def _card(self, sample: CommittedSample) -> Card:
        name, size = sample.file_name, self.sizes.get(sample.file_name)
        if size == 0:
            return _problem(sample, "is empty")
        try:
            if size and sample.video_bytes not in (0, size):
                raise NoPicture(f"it has {size:,} bytes, where the metadata says {sample.video_bytes:,}")
            return _read(self.store, sample, size if name in self.embedded else None)
        except NotFound:
            return _problem(sample, "is gone")
        except NoPicture as unseen:
            return _problem(sample, f"cannot be shown: {unseen}")
        except (ValueError, StoreError, OSError) as error:
            return _problem(sample, spell_problem(error))


def choose_gallery(dataset: Dataset, numbers: Numbers, most: int, budget_bytes: int) -> Gallery:
    """At most `most` videos, spread evenly over the shapes; those that come first are embedded while the budget lasts.

    `budget_bytes` is of the page, where three bytes of a file take four. The size of a file is what the store says; one
    that is not what the metadata says is not shown.
    """
    samples = dataset.rows(spread(numbers, most))
    sizes = {sample.file_name: _size(dataset.store, sample) for sample in samples}
    embedded, left = set(), budget_bytes
    for sample in samples:
        size = sizes[sample.file_name]
        if size and _encoded(size) <= left and sample.video_bytes in (0, size):
            left -= _encoded(size)
            embedded.add(sample.file_name)
    samples.sort(key=_order)
    return Gallery(store=dataset.store, samples=tuple(samples), sizes=sizes, embedded=frozenset(embedded))


def _problem(sample: CommittedSample, problem: str) -> Card:
    return Card(sample=sample, problem=f"{shortened(sample.file_name, MOST_OF_A_NAME)} {problem}")


def _read(store: Store, sample: CommittedSample, size: int | None) -> Card:
    """The card of a video: with the `size` bytes of its file, or if that is None with a still alone."""
    with store.open(check_name(sample.file_name)) as file:
        if size is None:
            return Card(sample=sample, still=_uri("image/webp", first_frame(file)))
        data = file.read(size + 1)
    if len(data) != size:
        raise NoPicture("it was changed while it was read")
    still = first_frame(io.BytesIO(data))
    return Card(sample=sample, video=_uri("video/mp4", data), still=_uri("image/webp", still))


def _form(aspect: float) -> str:
    bounds = {"tall": 0.8, "square": 1.15, "wide": 1.6}
    return next((form for form, bound in bounds.items() if aspect < bound), "wider")


def _uri(kind: str, data: bytes) -> Markup:
    """As markup: nothing in it is to be escaped, and it is too long to look."""
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")


def _encoded(size: int) -> int:
    return -(-size // 3) * 4


def _size(store: Store, sample: CommittedSample) -> int | None:
    """In the store; None where its card will say why."""
    try:
        found = store.stat(check_name(sample.file_name))
    except (ValueError, Outside):  # ValueError: no key at all
        return None
    except StoreError as error:
        file_problem(error)
        return None
    return None if found is None else found.size


def _order(sample: CommittedSample) -> tuple[int, int, str, int]:
    return sample.width * sample.height * sample.num_frames, sample.width, sample.prompt, sample.seed
