"""A still picture of a video, of which no more is read than its beginning."""

import io
from typing import Any, BinaryIO

import av
from PIL import Image

LONGEST_EDGE = 480
MOST_PIXELS = 1 << 26
"""Of a frame that is decoded, 8192 x 8192; a file may claim any size."""
_FORMAT = "mp4"
"""Never guessed: what calls itself .mp4 and is a playlist would have ffmpeg open the files and URLs that it names."""
_QUALITY = 72


class NoPicture(Exception):
    """The file is no video that can be decoded; the message is one sentence."""


def first_frame(video: BinaryIO) -> bytes:
    """The first frame as WebP, with edges of 480 pixels at most; `NoPicture` if `video` is no MP4 that has one."""
    try:
        with av.open(video, "r", format=_FORMAT) as container:
            _check_size(container)
            frame: Any = next(container.decode(video=0), None)
            if frame is None:
                raise NoPicture("the file has no frame")
            picture: Image.Image = frame.to_image()
    except av.error.FFmpegError as error:  # its whole text has the path of the file, or a temporary name
        raise NoPicture(f"the file cannot be decoded: {error.strerror or type(error).__name__}") from error
    except (ValueError, IndexError) as error:
        raise NoPicture("the file cannot be decoded: it has no video that is understood") from error
    picture.thumbnail((LONGEST_EDGE, LONGEST_EDGE))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()


def _check_size(container: Any) -> None:
    for stream in container.streams.video[:1]:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MOST_PIXELS:
            raise NoPicture(f"its frames have {width}x{height} pixels, more than {MOST_PIXELS:,} in all")
