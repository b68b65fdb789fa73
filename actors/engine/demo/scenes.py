"""Scenes of the demo model's training videos: one or two coloured shapes that move over a plain background.

A scene is a value that holds both what its caption says and the geometry that `render.py` draws.
Some combinations of colour, kind, direction and background are held out: no training scene contains them.
"""

import random
from dataclasses import dataclass

from actors.engine.demo.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    DIRECTION_PHRASES,
    DIRECTIONS,
    KINDS,
    MAX_CAPTION_BYTES,
    ONE_OBJECT_TEMPLATES,
    ONE_OBJECT_TEMPLATES_WITHOUT_GROUND,
    SIZES,
    SPEEDS,
    TWO_OBJECT_TEMPLATES,
)

# Radii are fractions of the frame's shorter side, travel and positions fractions of the axis they lie on.
RADIUS = {None: (0.13, 0.20), "small": (0.11, 0.13), "large": (0.20, 0.25)}
RADIUS_OF_FIRST = (0.17, 0.22)
RADIUS_OF_SECOND = (0.09, 0.12)
TRAVEL = {None: (0.38, 0.50), "slowly": (0.26, 0.32), "quickly": (0.58, 0.66)}


@dataclass(frozen=True, kw_only=True)
class Mover:
    """One object. `size` and `speed` are None where the caption does not say them."""

    colour: str
    kind: str
    direction: str
    size: str | None
    speed: str | None
    radius: float
    """Fraction of the frame's shorter side."""
    travel: float
    """Way from the first to the last frame, as a fraction of the axis it moves along."""
    middle: float
    """Where the middle of the way lies on that axis, 0 to 1."""
    offset: float
    """Where it is on the other axis, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One video: `first` is the dominant object, `second` a smaller one or None."""

    first: Mover
    second: Mover | None
    background: str
    caption: str


def is_held_out(colour: str, kind: str, direction: str, background: str) -> bool:
    """Whether training never shows this combination: one colour for each (kind, direction, background), 80 in all."""
    index = (
        list(COLOURS).index(colour)
        + 2 * KINDS.index(kind)
        + 3 * list(DIRECTIONS).index(direction)
        + 5 * list(BACKGROUNDS).index(background)
    )
    return index % len(COLOURS) == 0


def held_out_combinations() -> list[tuple[str, str, str, str]]:
    """The held-out (colour, kind, direction, background) combinations, in a fixed order."""
    return [
        (colour, kind, direction, background)
        for colour in COLOURS
        for kind in KINDS
        for direction in DIRECTIONS
        for background in BACKGROUNDS
        if is_held_out(colour, kind, direction, background)
    ]


def heldout_scenes(n: int, *, seed: int = 0) -> list[Scene]:
    """`n` one-object scenes of held-out combinations, each combination once before any comes twice.

    Their captions use the first two templates, without words for size and speed.
    """
    rng = random.Random(seed)
    combinations = held_out_combinations()
    rng.shuffle(combinations)
    scenes = []
    for index in range(n):
        colour, kind, direction, background = combinations[index % len(combinations)]
        first = _mover(rng, colour=colour, kind=kind, direction=direction, size=None, speed=None)
        caption = _one_object_caption(first, background, ONE_OBJECT_TEMPLATES[index % 2], first.direction)
        scenes.append(Scene(first=first, second=None, background=background, caption=caption))
    return scenes


def training_scene(rng: random.Random, *, two_objects_share: float = 0.3) -> Scene:
    """A random scene whose objects all avoid the held-out combinations."""
    background = rng.choice(list(BACKGROUNDS))
    if rng.random() < two_objects_share:
        return _two_object_scene(rng, background)
    size = rng.choice(SIZES) if rng.random() < 0.3 else None
    speed = rng.choice(SPEEDS) if rng.random() < 0.3 else None
    first = _allowed_mover(rng, background, size=size, speed=speed)
    templates = ONE_OBJECT_TEMPLATES if rng.random() > 0.06 else ONE_OBJECT_TEMPLATES_WITHOUT_GROUND
    caption = _one_object_caption(first, background, rng.choice(templates), _direction_phrase(rng, first.direction))
    return Scene(first=first, second=None, background=background, caption=_finish(rng, caption))


def _two_object_scene(rng: random.Random, background: str) -> Scene:
    first = _allowed_mover(rng, background, size=None, speed=None, radius=RADIUS_OF_FIRST)
    second = _allowed_mover(rng, background, size=None, speed=None, radius=RADIUS_OF_SECOND, not_colour=first.colour)
    template = rng.choice(TWO_OBJECT_TEMPLATES)
    for phrases in ((_direction_phrase(rng, first.direction), _direction_phrase(rng, second.direction)), None):
        d1, d2 = phrases or (first.direction, second.direction)
        caption = template.format(
            one=_noun(first), two=_noun(second), d1=d1, d2=d2, ground=_ground(background), bare=background
        )
        if len(caption) <= MAX_CAPTION_BYTES:
            break
    return Scene(first=first, second=second, background=background, caption=_finish(rng, caption))


def _allowed_mover(
    rng: random.Random,
    background: str,
    *,
    size: str | None,
    speed: str | None,
    radius: tuple[float, float] | None = None,
    not_colour: str | None = None,
) -> Mover:
    while True:
        colour, kind, direction = rng.choice(list(COLOURS)), rng.choice(KINDS), rng.choice(list(DIRECTIONS))
        if colour != not_colour and not is_held_out(colour, kind, direction, background):
            return _mover(
                rng, colour=colour, kind=kind, direction=direction, size=size, speed=speed, radius_range=radius
            )


def _mover(
    rng: random.Random,
    *,
    colour: str,
    kind: str,
    direction: str,
    size: str | None,
    speed: str | None,
    radius_range: tuple[float, float] | None = None,
) -> Mover:
    return Mover(
        colour=colour,
        kind=kind,
        direction=direction,
        size=size,
        speed=speed,
        radius=rng.uniform(*(radius_range or RADIUS[size])),
        travel=rng.uniform(*TRAVEL[speed]),
        middle=rng.uniform(0.45, 0.55),
        offset=rng.uniform(0.28, 0.72),
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _plain_noun(mover: Mover) -> str:
    return " ".join(word for word in (mover.size, mover.colour, mover.kind) if word)


def _noun(mover: Mover) -> str:
    noun = _plain_noun(mover)
    return f"{_article(noun)} {noun}"


def _ground(background: str) -> str:
    return f"{_article(background)} {background} background"


def _direction_phrase(rng: random.Random, direction: str) -> str:
    return direction if rng.random() < 0.5 else rng.choice(DIRECTION_PHRASES[direction])


def _one_object_caption(mover: Mover, background: str, template: str, phrase: str) -> str:
    words = f"{phrase} {mover.speed}" if mover.speed else phrase
    caption = template.format(
        one=_noun(mover), plain=_plain_noun(mover), d1=words, ground=_ground(background), bare=background
    )
    if len(caption) > MAX_CAPTION_BYTES:
        raise ValueError(f"caption of {len(caption)} bytes, at most {MAX_CAPTION_BYTES}: {caption!r}")
    return caption


def _finish(rng: random.Random, caption: str) -> str:
    """A full stop at the end of some captions."""
    return caption + "." if rng.random() < 0.15 and len(caption) < MAX_CAPTION_BYTES else caption
