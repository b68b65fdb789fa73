"""What commands print: one JSON object on stdout, everything for a person on stderr (or stdout without JSON)."""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer

from cluster.errors import PabcastError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object, last, on stdout; the rest on stderr.")]


def _listen(verbose: bool) -> bool:
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    return verbose


VerboseFlag = Annotated[
    bool, typer.Option("--verbose", help="Show an error's traceback, and what Ray remarks.", callback=_listen)
]


def open_streams() -> None:
    """Let streams that were closed lead nowhere, and all write as \\u… what their encoding does not have."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False))
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print `value` as one JSON line on stdout, in ASCII where stdout is not UTF-8."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    _say(harmless(json.dumps(value, ensure_ascii=not is_utf8, allow_nan=False)))


def tell(text: str, *, as_json: bool = False) -> None:
    """Print lines for a person: on stdout, or on stderr where stdout belongs to JSON."""
    if not as_json:
        _say(harmless(text))
        return
    # What stderr does not take, as its reader has gone or its disk is full, keeps no JSON and no exit code back.
    with suppress(OSError):
        typer.echo(harmless(text), err=True)


def _say(text: str) -> None:
    try:
        typer.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PabcastError(f"stdout cannot be written: {error.strerror}; send it elsewhere") from error


def harmless(text: str) -> str:
    """`text` with what commands a terminal, turns the direction of its text or is no character, as JSON escapes."""
    commands = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
    return re.sub(commands, lambda found: f"\\u{ord(found[0]):04x}", text)


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
