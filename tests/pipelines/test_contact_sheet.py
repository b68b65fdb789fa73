import io

import numpy as np
from PIL import Image

from pipelines.commits import Commits
from pipelines.contact_sheet import SHEET_KEY, write_contact_sheet
from pipelines.metadata import compact
from pipelines.store import LocalStore
from pipelines.video import encode_mp4
from tests.pipelines.samples import sample


def test_the_picture_shows_frames_of_the_dataset(tmp_path):
    store = LocalStore(tmp_path)
    red = np.zeros((16, 64, 96, 3), np.uint8)
    red[..., 0] = 200
    video = encode_mp4(red, 8)
    Commits(store).commit(sample(0, video), video)
    compact(store)
    assert write_contact_sheet(store) == SHEET_KEY
    picture = np.asarray(Image.open(io.BytesIO(store.get(SHEET_KEY))).convert("RGB")).astype(int)
    reds = (picture[..., 0] > 150) & (picture[..., 1] < 60)
    assert reds.mean() > 0.5, "six red frames fill most of the picture"


def test_an_empty_dataset_has_no_picture(tmp_path):
    store = LocalStore(tmp_path)
    compact(store)
    assert write_contact_sheet(store) is None
    assert not store.exists(SHEET_KEY)
