"""The findings as a table for a person."""

from collections import Counter
from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pipelines.commands.output import harmless
from pipelines.doctor.finding import Finding

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def chart(findings: Sequence[Finding]) -> RenderableType:
    """A row a finding, with the way out beneath what was found."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        words = [harmless(finding.found), *([f"way out: {harmless(finding.way_out)}"] if finding.way_out else [])]
        table.add_row(finding.name, Text(finding.status, STYLES[finding.status]), Text("\n".join(words)))
    return table


def sum_up(findings: Sequence[Finding]) -> str:
    """How many are of which status, in one line."""
    counts = Counter(finding.status for finding in findings)
    warnings = f"{counts['warning']} warning{'' if counts['warning'] == 1 else 's'}"
    return f"{counts['ok']} ok, {warnings}, {counts['failed']} failed"
