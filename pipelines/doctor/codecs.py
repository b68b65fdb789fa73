"""PyAV and its codecs, tried."""

import importlib.metadata

from pipelines.doctor.finding import Finding, failed, ok
from pipelines.doctor.wanted import Wanted

FRAMES, EDGE, FPS = 8, 64, 8
MOST_ERROR = 8.0
"""Of 255, on average: how much a pixel of smooth frames may change."""


def look_at_codecs(wanted: Wanted) -> list[Finding]:
    """The line `codecs`: a few frames to H.264 and back."""
    try:
        import av
        from av.codec import codecs_available
    except ImportError as error:
        version = importlib.metadata.version("av")
        return [failed("codecs", f"PyAV {version} cannot be loaded: {error}", "pip install --force-reinstall av")]
    release = f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
    if "libx264" not in codecs_available:
        return [failed("codecs", f"{release} has no libx264", "install PyAV's wheel: pip install --force-reinstall av")]
    return [_try(release)]


def _try(release: str) -> Finding:
    import numpy as np

    from pipelines.video import decode_mp4, encode_mp4

    ramp = np.linspace(0, 255, EDGE, dtype=np.uint8)
    frames = np.stack([np.stack([np.add.outer(ramp // 2, ramp // 2)] * 3, -1)] * FRAMES)
    data = encode_mp4(frames, FPS)
    back = decode_mp4(data)
    if back.shape != frames.shape:
        found = f"{release}: {list(frames.shape)} frames came back from H.264 as {list(back.shape)}"
        return failed("codecs", found, "pip install --force-reinstall av")
    error = float(np.abs(back.astype(float) - frames).mean())
    if error > MOST_ERROR:
        found = f"{release}: pixels came back from H.264 changed by {error:.1f} of 255 on average"
        return failed("codecs", found, "pip install --force-reinstall av")
    return ok("codecs", f"{release}: {FRAMES} frames to H.264 and back, changed by {error:.1f} of 255")
