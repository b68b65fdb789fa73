"""What commands print: one JSON object on stdout, everything for a person on stderr (or stdout without JSON)."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object, last, on stdout; the rest on stderr.")]


def _listen(verbose: bool) -> bool:
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    return verbose


VerboseFlag = Annotated[
    bool, typer.Option("--verbose", help="Show an error's traceback, and what Ray remarks.", callback=_listen)
]


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print `value` as one JSON line on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def tell(text: str, *, as_json: bool = False) -> None:
    """Print a line for a person: on stdout, or on stderr where stdout belongs to JSON."""
    typer.echo(text, err=as_json)


def is_terminal() -> bool:
    """Whether a person watches stderr."""
    return sys.stderr.isatty()


def spell_bytes(count: int) -> str:
    """A count of bytes with its unit, as 1.4 MB."""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def spell_seconds(seconds: float) -> str:
    """A time as 4.2 s, 3:05 or 2:03:05."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
