"""The ways to denoise that a benchmark compares, named without importing torch."""

from collections.abc import Sequence

from cluster.model import ModelNumbers
from cluster.pab import Kind, PabConfig

VARIANTS = ("off", "pab", "compiled-off", "compiled-pab", "diffusers-off", "diffusers-pab")
"""Ours, ours with its blocks compiled, and diffusers' pipeline's loop; each without and with PAB."""
_WITH_PAB = ("cogvideox", "latte")
_WITH_DIFFUSERS = (*_WITH_PAB, "wan")


def missing_variants(family: str, numbers: ModelNumbers, pab: PabConfig) -> dict[str, str]:
    """The variants that a model of `family` does not have under `pab`, and why, as the end of a sentence."""
    missing: dict[str, str] = {}
    if pab.is_off:
        missing |= dict.fromkeys(("pab", "compiled-pab", "diffusers-pab"), "--pab is off")
    elif not broadcast_kinds(numbers, pab):
        missing["diffusers-pab"] = "diffusers broadcasts attention only, and --pab gives none of the model's a range"
    if family not in _WITH_DIFFUSERS:
        missing |= dict.fromkeys(("diffusers-off", "diffusers-pab"), "diffusers has no such model")
    elif family not in _WITH_PAB:
        missing["diffusers-pab"] = (
            "diffusers keeps one cache for both guidance passes, which then predict the same: guidance vanishes"
        )
    return missing


def broadcast_kinds(numbers: ModelNumbers, pab: PabConfig) -> tuple[Kind, ...]:
    """The model's kinds of attention that have a range above 1."""
    ranges = {"spatial": pab.spatial, "temporal": pab.temporal, "cross": pab.cross}
    return tuple(kind for kind in numbers.kinds if ranges[kind] > 1)


def baseline(variants: Sequence[str]) -> str | None:
    """Which of `variants` ratios are to: diffusers without PAB, else ours without."""
    return next((name for name in ("diffusers-off", "off") if name in variants), None)
