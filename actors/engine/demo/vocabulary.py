"""What the demo model can be asked for: its words, its colours and its frame sizes."""

from collections.abc import Mapping
from types import MappingProxyType

NUM_FRAMES = 16

RGB = tuple[float, float, float]

COLOURS: Mapping[str, RGB] = MappingProxyType(
    {
        "red": (0.90, 0.10, 0.10),
        "green": (0.10, 0.75, 0.15),
        "blue": (0.15, 0.25, 0.95),
        "yellow": (0.95, 0.90, 0.10),
        "magenta": (0.90, 0.15, 0.85),
        "cyan": (0.10, 0.85, 0.90),
        "orange": (0.98, 0.55, 0.05),
        "white": (0.97, 0.97, 0.97),
    }
)
BACKGROUNDS: Mapping[str, RGB] = MappingProxyType(
    {
        "black": (0.02, 0.02, 0.02),
        "gray": (0.42, 0.42, 0.42),
        "navy": (0.05, 0.07, 0.30),
        "brown": (0.35, 0.22, 0.10),
        "purple": (0.24, 0.07, 0.36),
    }
)
KINDS = ("circle", "square", "triangle", "ring")

# Unit vectors (x, y) in image coordinates: y grows downwards.
DIRECTIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
)
DIRECTION_PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "left": ("left", "to the left", "leftwards"),
        "right": ("right", "to the right", "rightwards"),
        "up": ("up", "upwards", "to the top"),
        "down": ("down", "downwards", "to the bottom"),
    }
)
SIZES = ("small", "large")
SPEEDS = ("slowly", "quickly")

# (height, width) of the videos, with how often training draws each.
FRAME_SIZES: Mapping[tuple[int, int], float] = MappingProxyType(
    {
        (64, 64): 3.0,
        (64, 96): 1.5,
        (96, 64): 1.5,
        (96, 96): 1.5,
        (64, 128): 1.5,
        (128, 64): 1.5,
        (96, 128): 1.0,
        (128, 96): 1.0,
        (128, 128): 2.0,
    }
)

# Captions are bytes for the text encoder; training pads every caption to TEXT_TOKENS, the end mark included.
TEXT_TOKENS = 96
MAX_CAPTION_BYTES = TEXT_TOKENS - 1

ONE_OBJECT_TEMPLATES = (
    "{one} moving {d1} over {ground}",
    "{one} moves {d1} on {ground}",
    "{one} that drifts {d1}, {bare} background",
    "on {ground} {one} goes {d1}",
    "{one} slides {d1} across {ground}",
    "a video of {one} moving {d1} on {ground}",
    "{bare} background, {one} moving {d1}",
    "{one} travelling {d1} in front of {ground}",
    "{plain} moving {d1} on {bare}",
    "{plain} gliding {d1} over {ground}",
)
ONE_OBJECT_TEMPLATES_WITHOUT_GROUND = ("{one} moving {d1}", "{one} moves {d1}", "{plain} going {d1}")
TWO_OBJECT_TEMPLATES = (
    "{one} moving {d1} and {two} moving {d2} on {ground}",
    "{one} moves {d1}, {two} moves {d2}, {bare} background",
    "on {ground} {one} goes {d1} and {two} goes {d2}",
    "{one} moving {d1} with {two} moving {d2} on {bare}",
    "{one} drifts {d1} while {two} drifts {d2} over {ground}",
)
