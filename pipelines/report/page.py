"""The page: one HTML file that needs nothing else, and asks nobody for anything."""

import base64
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipelines.commands.output import harmless, spell_bytes, spell_seconds
from pipelines.progress import Advance
from pipelines.report.failures import Failures, meaning_of
from pipelines.report.figures import Share, Totals, kinships
from pipelines.report.gallery import Card, Gallery
from pipelines.report.numbers import Numbers
from pipelines.report.presence import Presence
from pipelines.report.remarks import Remarks
from pipelines.report.run_record import RunRecord
from pipelines.report.short_text import shortened
from pipelines.report.strips import Strips
from pipelines.report.timeline import Timeline

_FOLDER = Path(__file__).parent / "page"
_MOST_PABS = 6
"""Settings of PAB whose attention is shown."""


@dataclass(frozen=True, kw_only=True)
class PageParts:
    """What the page is made of."""

    uri: str
    totals: Totals
    numbers: Numbers
    shares: tuple[Share, ...]
    failures: Failures
    presence: Presence
    run: RunRecord
    remarks: Remarks
    gallery: Gallery
    budget_bytes: int


def render(parts: PageParts, advance: Advance) -> Iterator[str]:
    """The page in pieces; the videos are read as it goes on, and `advance` is told of each."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": spell_bytes,
        "seconds": _spell_seconds,
        "day": partial(_spell_time, "%-d %B %Y"),
        "clock": partial(_spell_time, "%H:%M"),
        "figures": _spell_figures,
        "meaning": meaning_of,
        "whole": _whole,
    }
    style, script = _read("page.css"), _read("page.js")
    pabs = list(dict.fromkeys(share.pab for share in parts.shares))
    return environment.get_template("page.html").generate(
        parts=parts,
        name=parts.uri.rstrip("/").rpartition("/")[2] or parts.uri,
        style=style,
        script=script,
        policy=_policy(style, script),
        timeline=Timeline.of(parts.numbers),
        strips=Strips.of(kinships(parts.numbers)),
        pabs=pabs[:_MOST_PABS],
        pabs_left_out=len(pabs[_MOST_PABS:]),
        on_cpus=parts.run.is_on_cpus,
        cards=_counted(parts.gallery.cards(), advance),
        made_by=version("pabcast"),
    )


def _counted(cards: Iterator[Card], advance: Advance) -> Iterator[Card]:
    for card in cards:
        advance()
        yield card


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded but what the page brings along; its own style and script are known by their hashes."""
    return (
        "default-src 'none'; img-src data:; media-src data:; "
        f"style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _spell_time(pattern: str, moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime(pattern)


def _harmless(value: Any) -> Any:
    """Texts that are not too long, without characters that no HTML may have, or that turn what follows around."""
    return harmless(shortened(value)) if type(value) is str else value


def _whole(text: str) -> Markup:
    """A text of any length."""
    return escape(harmless(text))


def _spell_seconds(seconds: float) -> str:
    return spell_seconds(seconds) if math.isfinite(seconds) else "unknown"


def _spell_figures(value: Any) -> str:
    """A number in three digits, or whole if it has more of them."""
    number = float(value)
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
