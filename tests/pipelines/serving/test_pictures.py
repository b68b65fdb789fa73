"""A video's thumbnail and sheet of frames."""

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.serving.pictures import spritesheet, thumbnail
from pipelines.video import Frames


def greys(count: int, height: int = 64, width: int = 64) -> Frames:
    """Frames of one grey each, from black to white."""
    levels = np.linspace(0, 255, count).round().astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def grey_at(picture: Image.Image, x: int, y: int) -> int:
    return int(np.asarray(picture.convert("L"))[y, x])


@pytest.mark.parametrize(("count", "middle"), [(1, 0), (2, 1), (3, 1), (16, 8), (17, 8)])
def test_a_thumbnail_is_the_middle_frame_in_webp(count: int, middle: int) -> None:
    frames = greys(count, 48, 96)
    picture = opened(thumbnail(frames))
    assert (picture.format, picture.size) == ("WEBP", (96, 48))
    assert grey_at(picture, 50, 20) == pytest.approx(int(frames[middle, 0, 0, 0]), abs=4)


def test_a_thumbnail_has_its_colours_in_their_order() -> None:
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[..., 0] = 200
    red, green, blue = np.asarray(opened(thumbnail(frames)).convert("RGB"))[16, 16]
    assert (int(red), int(green), int(blue)) == pytest.approx((200, 0, 0), abs=12)


@pytest.mark.parametrize(
    ("count", "columns", "rows"),
    [(1, 1, 1), (3, 3, 1), (4, 4, 1), (5, 4, 2), (9, 4, 3), (16, 4, 4), (17, 4, 4), (200, 4, 4)],
)
def test_a_sheet_has_up_to_sixteen_frames_in_rows_of_four(count: int, columns: int, rows: int) -> None:
    picture = opened(spritesheet(greys(count, 32, 64)))
    assert (picture.format, picture.mode) == ("JPEG", "RGB")
    assert picture.size == (64 * columns, 32 * rows)


@pytest.mark.parametrize("count", [6, 16, 100])
def test_the_frames_of_a_sheet_run_evenly_from_first_to_last(count: int) -> None:
    picture = opened(spritesheet(greys(count)))
    shown = min(16, count)
    seen = [grey_at(picture, 64 * (place % 4) + 32, 64 * (place // 4) + 32) for place in range(shown)]
    assert seen == sorted(seen)
    assert seen == pytest.approx(np.linspace(0, 255, shown).tolist(), abs=5)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (240, 240, (240, 240)),
        (64, 32, (32, 64)),
        (480, 480, (240, 240)),
        (720, 1280, (240, 135)),
        (1280, 720, (135, 240)),
        (2, 4000, (240, 1)),
    ],
)
def test_frames_of_a_sheet_are_made_smaller_but_never_larger(height: int, width: int, size: tuple[int, int]) -> None:
    assert opened(spritesheet(greys(1, height, width))).size == size


def test_equal_frames_give_equal_bytes() -> None:
    assert (thumbnail(greys(5)), spritesheet(greys(5))) == (thumbnail(greys(5)), spritesheet(greys(5)))
