"""The sampling settings of a job, and the limits that they and a row's own values keep."""

from dataclasses import dataclass, fields

from cluster.errors import ConfigError
from cluster.shape import Shape

LIMITS: dict[str, tuple[float, float]] = {
    "height": (1, 16_384),
    "width": (1, 16_384),
    "num_frames": (1, 100_000),
    "fps": (1, 240),
    "steps": (1, 1000),
    "guidance_scale": (0, 100),
    "seed": (0, 2**63 - 1),
    "num_samples": (1, 1000),
}
WANTED = {
    "height": "a whole number of pixels",
    "width": "a whole number of pixels",
    "num_frames": "a whole number of frames",
    "fps": "a whole number of frames a second",
    "steps": "a whole number of steps",
    "guidance_scale": "a number",
    "seed": "a whole number",
    "num_samples": "a whole number of videos",
}


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to make a video when its row does not say; sizes in pixels."""

    height: int = 64
    width: int = 64
    num_frames: int = 16
    fps: int = 8
    steps: int = 30
    guidance_scale: float = 4.0
    seed: int = 0

    @property
    def shape(self) -> Shape:
        """The shape of the video."""
        return Shape(height=self.height, width=self.width, num_frames=self.num_frames)

    def __post_init__(self) -> None:
        for field in fields(self):
            problem = limit_problem(field.name, getattr(self, field.name))
            if problem:
                raise ConfigError(f"sampling.{problem}")


def limit_problem(name: str, value: float) -> str:
    """What is wrong with `value` for `name`, in one sentence, or nothing."""
    low, high = LIMITS[name]
    if low <= value <= high:
        return ""
    shown = str(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    return f"{name} is {shown}; it must be from {low:g} to {high if isinstance(high, int) else f'{high:g}'}"
