"""Which videos a page shows, and as what."""

import base64

import pytest

from pipelines.report.dataset import Dataset
from pipelines.report.gallery import choose_gallery
from pipelines.report.numbers import Numbers
from pipelines.store import LocalStore, Store
from tests.pipelines.report.datasets import fill

PLENTY = 10**9


def test_every_shape_is_shown_before_one_is_shown_twice(folder: LocalStore) -> None:
    fill(folder, *[{}] * 6, {"width": 96}, {"height": 96})
    dataset = Dataset.open(folder.uri)
    numbers = Numbers.of(dataset)
    for most, shapes in ((1, 1), (2, 2), (3, 3), (5, 3), (20, 3)):
        chosen = choose_gallery(dataset, numbers, most, PLENTY).samples
        assert len({sample.sample_id for sample in chosen}) == len(chosen) == min(most, 8)
        assert len({(sample.width, sample.height) for sample in chosen}) == shapes


def test_a_card_holds_the_very_bytes_of_its_video(store: Store) -> None:
    (sample,) = fill(store, {})
    dataset = Dataset.open(store.uri)
    (card,) = choose_gallery(dataset, Numbers.of(dataset), 5, PLENTY).cards()
    assert card.sample == sample
    kind, _, data = card.video.partition(",")
    assert kind == "data:video/mp4;base64"
    assert base64.b64decode(data) == store.get(sample.file_name)
    assert base64.b64decode(card.still.partition(",")[2])[8:12] == b"WEBP"


@pytest.mark.parametrize("fitting", [0, 1, 2, 3])
def test_what_is_beyond_the_budget_is_a_still(store: Store, fitting: int) -> None:
    samples = fill(store, {}, {"width": 96}, {"height": 96})
    dataset = Dataset.open(store.uri)
    numbers = Numbers.of(dataset)
    by_shape = sorted(samples, key=lambda sample: (sample.width * sample.height, sample.width))
    budget = sum(-(-sample.video_bytes // 3) * 4 for sample in by_shape[:fitting])
    gallery = choose_gallery(dataset, numbers, 3, budget)
    cards = list(gallery.cards())
    videos = [card.video for card in cards if card.video]
    assert sum(len(video.partition(",")[2]) for video in videos) <= budget
    assert (len(videos), gallery.tally.stills) == (fitting, 3 - fitting)
    assert all(card.still.startswith("data:image/webp;base64,") for card in cards)


def test_what_is_gone_or_no_video_is_said_on_its_card(folder: LocalStore) -> None:
    gone, broken, whole = fill(folder, {}, {}, {})
    folder.delete(gone.file_name)
    folder.put(broken.file_name, b"\0" * broken.video_bytes)
    dataset = Dataset.open(folder.uri)
    gallery = choose_gallery(dataset, Numbers.of(dataset), 5, PLENTY)
    cards = {card.sample.sample_id: card for card in gallery.cards()}
    assert cards[gone.sample_id].problem == f"{gone.file_name} is gone"
    assert "the file cannot be decoded" in cards[broken.sample_id].problem
    assert cards[whole.sample_id].problem == ""
    assert cards[whole.sample_id].video
