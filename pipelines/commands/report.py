"""`pabcast report`."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import ConfigError
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, spell_bytes, tell
from pipelines.page_file import PageFile

if TYPE_CHECKING:
    from pipelines.report import Report

VIDEOS, BUDGET_MB = 24, 40
MOST_VIDEOS, MOST_BUDGET_MB = 10_000, 2000
"""Browsers do not open what is much larger."""
SHOWN_PROBLEMS = 5


def report(
    uri: Annotated[str, typer.Argument(metavar="URI", help="output.uri of a run: a folder or s3://bucket/prefix.")],
    out: Annotated[str, typer.Option("--out", metavar="FILE.html", help="The page.")] = "report.html",
    videos: Annotated[str, typer.Option("--videos", metavar="N", help="The most videos to show.")] = str(VIDEOS),
    budget: Annotated[
        str, typer.Option("--budget", metavar="MB", help="The most that videos add to the page; more are stills.")
    ] = str(BUDGET_MB),
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Show a finished run in one HTML page: videos, widths over time, seconds, broadcast attention, failures.

    The page needs no other file and no network. Videos are spread evenly over the shapes of the dataset.

    Example: pabcast report out/demo --out demo.html
    """
    chosen, budget_bytes = _read_videos(videos), _read_budget(budget)
    file = PageFile.of(out)
    # pyarrow and numpy take a while to import: only once the usage is known to be good.
    from pipelines.progress import counting
    from pipelines.report import make_report

    made = make_report(uri, file, videos=chosen, budget_bytes=budget_bytes, watcher=counting)
    tell(_spell(made), as_json=as_json)
    if as_json:
        print_json(made.contract())


def _read_videos(text: str) -> int:
    """`--videos`, a whole number; `ConfigError` if it is none."""
    try:
        count = int(text) if text.isascii() and text.isdigit() else -1
    except ValueError:
        count = -1
    if not 0 <= count <= MOST_VIDEOS:
        raise ConfigError(f"--videos is {text}; give a whole number from 0 to {MOST_VIDEOS}, as in --videos {VIDEOS}")
    return count


def _read_budget(text: str) -> int:
    """`--budget` in bytes; `ConfigError` if it is no number of megabytes."""
    try:
        megabytes = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        megabytes = math.nan
    if not 0 <= megabytes <= MOST_BUDGET_MB:
        raise ConfigError(
            f"--budget is {text}; give megabytes from 0 to {MOST_BUDGET_MB}, as in --budget {BUDGET_MB} or --budget 2.5"
        )
    return int(megabytes * 1_000_000)


def _spell(made: "Report") -> str:
    """A few lines for a person."""
    stills = f", {made.stills} are stills" if made.stills else ""
    unshown = f", {len(made.unshown)} cannot be shown" if made.unshown else ""
    lines = [
        f"{made.totals.videos} videos, {made.failed} failed, {made.lost} gone or not whole; "
        f"{made.embedded} play in the page{stills}{unshown}",
        *(f"  {problem}" for problem in made.unshown[:SHOWN_PROBLEMS]),
    ]
    if len(made.unshown) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(made.unshown) - SHOWN_PROBLEMS} more; the page says why")
    return "\n".join([*lines, f"{made.file}, {spell_bytes(made.page_bytes)}"])
