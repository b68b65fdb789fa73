"""What is wrong with the keys of a file of weights, as a person reads it."""

from collections.abc import Mapping, Sequence

_NAMED = 5


def spell_faults(faults: Mapping[str, Sequence[str]]) -> str:
    """`faults` holds the keys by what is wrong with them; empty if nothing is. Of many, the first are named."""
    return "; ".join(f"{len(keys)} {fault}: {_named(sorted(keys))}" for fault, keys in faults.items() if keys)


def _named(keys: Sequence[str]) -> str:
    rest = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
