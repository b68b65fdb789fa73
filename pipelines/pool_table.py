"""A pool as a small table for the terminal: what waits and what runs at each width, and how the pool has changed."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actors.status import PoolStatus

TABLE_COLUMNS = 37
"""Below it the table is left out."""
_HEADER_ROWS = 2
_NONE = "·"


def pool_table(status: PoolStatus, columns: int = 80, rows: int = 24) -> RenderableType:
    """Requests and gangs by width, then domains, then what happened; what does not fit into the space is left out."""
    parts: list[RenderableType] = []
    widths = _widths(status)
    if widths and columns >= TABLE_COLUMNS and len(widths) + _HEADER_ROWS <= rows:
        parts.append(_by_width(status, widths))
        rows -= len(widths) + _HEADER_ROWS
    for line in (spell_domains(status, columns), spell_changes(status, columns)):
        if line and rows > 0:
            parts.append(Text(line, style="dim", no_wrap=True, overflow="crop"))
            rows -= 1
    return Group(*parts)


def spell_domains(status: PoolStatus, columns: int = 80) -> str:
    """How many domains are in which phase, and those that ask for a market; empty if there are none."""
    counted = Counter(
        domain.phase if domain.market == "any" else f"{domain.phase} ({domain.market.replace('_', '-')})"
        for domain in status.domains
    )
    return _fit("domains: ", (f"{count} {phase}" for phase, count in sorted(counted.items())), columns)


def spell_changes(status: PoolStatus, columns: int = 80) -> str:
    """How often gangs and videos have moved since the pool began; empty if none did."""
    causes = ", ".join(f"{count} {cause}" for cause, count in sorted(status.retries.items()) if count)
    retries = sum(status.retries.values())
    counts = ((status.reshaped, "reshaped"), (status.widened, "widened"), (status.resumed, "resumed"))
    parts = [f"{count} {what}" for count, what in counts if count]
    if retries:
        parts.append(f"{retries} {'retry' if retries == 1 else 'retries'} ({causes})")
    return _fit("", parts, columns)


def _widths(status: PoolStatus) -> list[int]:
    return sorted({line.width for line in status.lines if line.waiting} | {width for width, _ in status.gangs})


def _by_width(status: PoolStatus, widths: Iterable[int]) -> Table:
    waiting: Counter[tuple[int, str]] = Counter()
    for line in status.lines:
        waiting[line.width, line.priority] += line.waiting
    gangs = Counter(status.gangs)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for header in ("\nwidth", "waiting\nonline", "waiting\noffline", "gangs\nbusy", "gangs\nidle"):
        table.add_column(header, justify="right", no_wrap=True)
    for width in widths:
        counts = (waiting[width, "online"], waiting[width, "offline"], gangs[width, True], gangs[width, False])
        table.add_row(str(width), *(str(count) if count else _NONE for count in counts))
    return table


def _fit(start: str, parts: Iterable[str], columns: int) -> str:
    """The parts in one line, without the last ones if they do not fit."""
    left = list(parts)
    while left and len(start + " · ".join(left)) > columns:
        left.pop()
    return start + " · ".join(left) if left else ""
