"""The pictures of a video that an endpoint hands out beside it."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.video import Frames

_COLUMNS = 4
_MOST_FRAMES = 16
_EDGE = 240
"""Pixels of a picture's longer edge at most, in the sheet."""


def thumbnail(frames: Frames) -> bytes:
    """A WebP of the middle frame of [T, H, W, 3] uint8."""
    return _file(Image.fromarray(frames[len(frames) // 2]), "WEBP")


def spritesheet(frames: Frames) -> bytes:
    """A JPEG of up to 16 frames in rows of four, from first to last."""
    chosen = np.linspace(0, len(frames) - 1, min(_MOST_FRAMES, len(frames))).round().astype(int)
    scale = min(1.0, _EDGE / max(frames.shape[1:3]))
    height, width = (max(1, round(edge * scale)) for edge in frames.shape[1:3])
    rows = -(-len(chosen) // _COLUMNS)
    sheet = Image.new("RGB", (width * min(_COLUMNS, len(chosen)), height * rows))
    for place, index in enumerate(chosen):
        row, column = divmod(place, _COLUMNS)
        picture = Image.fromarray(frames[index]).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(picture, (column * width, row * height))
    return _file(sheet, "JPEG")


def preview(picture: npt.NDArray[np.uint8]) -> str:
    """A data URL of [h, w, 3] uint8."""
    return f"data:image/webp;base64,{base64.b64encode(_file(Image.fromarray(picture), 'WEBP')).decode()}"


def _file(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=90)
    return buffer.getvalue()
