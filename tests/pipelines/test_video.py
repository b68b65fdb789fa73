"""Video files that browsers play and that say what the frames said."""

import io
import struct

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.video import Frames, contact_sheet, decode_mp4, encode_mp4, frame_strip


def moving_square(frames: int = 16, height: int = 64, width: int = 96) -> Frames:
    """A red square that moves to the right over a blue gradient."""
    video = np.zeros((frames, height, width, 3), np.uint8)
    video[..., 2] = np.linspace(60, 200, width, dtype=np.uint8)
    for index in range(frames):
        left = 4 + index * (width - 32) // frames
        video[index, 20:40, left : left + 20] = (210, 40, 30)
    return video


def psnr(first: Frames, second: Frames) -> float:
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (128, 72), (130, 66)])
def test_a_video_decodes_to_its_frames(height: int, width: int) -> None:
    frames = moving_square(height=height, width=width)
    decoded = decode_mp4(encode_mp4(frames, 8))
    assert decoded.shape == frames.shape
    assert psnr(frames, decoded) > 30


def test_colours_are_not_shifted() -> None:
    for colour in ((200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (255, 255, 255)):
        frames = np.full((4, 64, 64, 3), colour, np.uint8)
        assert np.abs(decode_mp4(encode_mp4(frames, 8)).astype(int) - colour).max() <= 4


def test_a_browser_can_play_it() -> None:
    data = encode_mp4(moving_square(), 12)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.profile in ("High", "Main", "Baseline", "Constrained Baseline")
        assert (stream.codec_context.color_primaries, stream.codec_context.color_trc) == (1, 1)
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert stream.frames == 16
        assert stream.average_rate == 12
        assert float(stream.duration * stream.time_base) == pytest.approx(16 / 12, abs=0.01)


def boxes(data: bytes) -> list[bytes]:
    """The names of the file's outermost boxes."""
    names, offset = [], 0
    while offset < len(data):
        size, name = struct.unpack_from(">I4s", data, offset)
        names.append(name)
        offset += size
    return names


def test_the_index_comes_before_the_pictures() -> None:
    names = boxes(encode_mp4(moving_square(), 8))
    assert names[0] == b"ftyp"
    assert names.index(b"moov") < names.index(b"mdat")


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (128, 72), (128, 128)])
def test_equal_frames_give_equal_bytes(height: int, width: int) -> None:
    # Thirty times, between other work: x264 has differed when it read memory that others had used before.
    frames = moving_square(height=height, width=width)
    noise = np.random.default_rng(0)
    files = set()
    for _ in range(30):
        noise.bytes(int(noise.integers(1, 1 << 18)))
        files.add(encode_mp4(frames, 8))
    assert len(files) == 1


def test_one_frame_is_a_video() -> None:
    assert decode_mp4(encode_mp4(moving_square(1), 8)).shape == (1, 64, 96, 3)


def test_what_is_no_video_is_refused() -> None:
    with pytest.raises(ValueError, match="97x64 has an odd edge"):
        encode_mp4(moving_square(width=97), 8)
    with pytest.raises(ValueError, match=r"frames are float32 \[2, 4, 4, 3\]; give uint8"):
        encode_mp4(np.zeros((2, 4, 4, 3), np.float32), 8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give uint8"):
        frame_strip(np.zeros((0, 4, 4, 3), np.uint8))


def test_a_strip_shows_frames_from_first_to_last() -> None:
    frames = moving_square()
    picture = np.asarray(Image.open(io.BytesIO(frame_strip(frames, 4))))
    assert picture.shape == (64, 4 * 98 - 2, 3)
    assert np.array_equal(picture[:, :96], frames[0])
    assert np.array_equal(picture[:, -96:], frames[-1])
    assert Image.open(io.BytesIO(frame_strip(frames, 40, height=32))).size == (16 * 50 - 2, 32)


def test_a_contact_sheet_has_a_strip_and_a_caption_a_video() -> None:
    videos = [moving_square(), moving_square(8, 128, 64)]
    one = Image.open(io.BytesIO(contact_sheet(videos[:1], ["a red square"])))
    two = Image.open(io.BytesIO(contact_sheet(videos, ["a red square", "a very long caption " * 20])))
    assert two.width == one.width
    assert two.height > 1.9 * one.height - 10
    with pytest.raises(ValueError, match="2 videos need as many captions"):
        contact_sheet(videos, ["one"])
