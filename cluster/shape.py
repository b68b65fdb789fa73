"""The shape of a video."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Height and width in pixels, and the number of frames."""

    height: int
    width: int
    num_frames: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.num_frames}"
