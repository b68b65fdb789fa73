"""Video files and pictures of videos. Frames are uint8 [T frames, H, W, 3], RGB."""

import io
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageDraw, ImageFont

Frames = npt.NDArray[np.uint8]
BT709 = 1
LIMITED_RANGE = 1
# One thread, because their number changes the bytes. No macroblock tree, because x264's vector code for it reads
# memory that nobody wrote: one in four encodings of a narrow video differed from the others.
_ENCODER = {"preset": "medium", "threads": "1", "x264-params": "mbtree=0"}
_CAPTION_SIZE = 14
_MARGIN = 8


def encode_mp4(frames: Frames, fps: int, crf: int = 17) -> bytes:
    """An H.264 mp4 that browsers play while it loads: yuv420p, BT.709, index first. Equal frames give equal bytes.

    Raises `ValueError` if `frames` is no video, or its height or width is odd.
    """
    _check(frames)
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"{width}x{height} has an odd edge; yuv420p halves the colours along both")
    # A file, because moving the index to the front reads what was written.
    with tempfile.TemporaryDirectory(prefix="pabcast-") as folder:
        path = Path(folder) / "video.mp4"
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(path), "w", format="mp4", options=options) as container:
            stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), **_ENCODER})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            context = stream.codec_context
            context.thread_count = 1
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = LIMITED_RANGE
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
                    format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
                )
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return path.read_bytes()


def decode_mp4(data: bytes) -> Frames:
    """The frames of a video file, converted back with its own colour tags."""
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        pictures = [
            frame.reformat(
                format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG
            ).to_ndarray()
            for frame in container.decode(video=0)
        ]
    return np.stack(pictures).astype(np.uint8, copy=False)


def frame_strip(frames: Frames, count: int = 6, height: int | None = None) -> bytes:
    """A PNG of `count` frames from first to last, side by side, each scaled to `height` pixels (default: its own)."""
    return _png(_strip(frames, count, height))


def contact_sheet(videos: Sequence[Frames], captions: Sequence[str], count: int = 6, height: int = 96) -> bytes:
    """A PNG of one strip a video with its caption above, for a README."""
    if len(videos) != len(captions) or not videos:
        raise ValueError(f"{len(videos)} videos need as many captions, not {len(captions)}, and at least one")
    strips = [_strip(frames, count, height) for frames in videos]
    font = ImageFont.load_default(size=_CAPTION_SIZE)
    line = _CAPTION_SIZE + _MARGIN
    width = max(strip.width for strip in strips) + 2 * _MARGIN
    sheet = Image.new("RGB", (width, len(strips) * (line + height + _MARGIN) + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for strip, caption in zip(strips, captions, strict=True):
        draw.text((_MARGIN, top), _fitted(caption, font, width - 2 * _MARGIN), fill="black", font=font)
        sheet.paste(strip, (_MARGIN, top + line))
        top += line + height + _MARGIN
    return _png(sheet)


def _check(frames: Frames) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(f"frames are {frames.dtype} {list(frames.shape)}; give uint8 [T, H, W, 3]")


def _strip(frames: Frames, count: int, height: int | None) -> Image.Image:
    _check(frames)
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    height = height or frames.shape[1]
    width = math.ceil(frames.shape[2] * height / frames.shape[1])
    strip = Image.new("RGB", (len(chosen) * (width + 2) - 2, height), "white")
    for place, index in enumerate(chosen):
        picture = Image.fromarray(frames[index])
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        strip.paste(picture, (place * (width + 2), 0))
    return strip


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The beginning of `text` that fits into `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
