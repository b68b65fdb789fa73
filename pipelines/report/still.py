"""A still picture of a video, of which no more is read than its beginning."""

import io
from typing import Any, BinaryIO

import av
from PIL import Image

LONGEST_EDGE = 480
_QUALITY = 72


class NoPicture(Exception):
    """The file is no video that can be decoded; the message is one sentence."""


def first_frame(video: BinaryIO) -> bytes:
    """The first frame as WebP, with edges of 480 pixels at most."""
    try:
        with av.open(video, "r") as container:
            frame: Any = next(container.decode(video=0), None)
            if frame is None:
                raise NoPicture("the file has no frame")
            picture: Image.Image = frame.to_image()
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise NoPicture(f"the file cannot be decoded: {(str(error).splitlines() or ['?'])[0]}") from error
    picture.thumbnail((LONGEST_EDGE, LONGEST_EDGE))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()
