"""The shape of a video."""

from dataclasses import dataclass

RESOLUTIONS = (64, 128, 256, 384, 480, 512, 720, 1088, 1440, 2160)
"""Short sides in pixels, by which videos of about a size are told together."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Height and width in pixels, and the number of frames."""

    height: int
    width: int
    num_frames: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.num_frames}"

    @property
    def resolution(self) -> str:
        """Its class among `RESOLUTIONS`, as 480p: the first that its short side does not pass; above all: larger."""
        short = min(self.height, self.width)
        return next((f"{most}p" for most in RESOLUTIONS if short <= most), "larger")
