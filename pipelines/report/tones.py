"""Shades for gang widths: the wider, the further along one scale of colours."""

from collections.abc import Iterable

TONES = 8
"""Shades of the scale; page.css has each, as .t0 to .t7."""


def tones_of(widths: Iterable[int]) -> dict[int, int]:
    """The shade of each width, as far apart as they can be; of more than 8 widths, some share one."""
    ordered = sorted(set(widths))
    if len(ordered) == 1:
        return {ordered[0]: TONES // 2}
    if len(ordered) == 2:
        return dict(zip(ordered, (1, TONES - 3), strict=True))
    return {width: round(place * (TONES - 1) / (len(ordered) - 1)) for place, width in enumerate(ordered)}
