"""`pabcast report`."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.errors import ConfigError
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, spell_bytes, tell
from pipelines.given_paths import check_writable

VIDEOS, BUDGET_MB = 24, 40


def report(
    uri: Annotated[str, typer.Argument(metavar="URI", help="output.uri of a run: a folder or s3://bucket/prefix.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page.")] = Path("report.html"),
    videos: Annotated[int, typer.Option("--videos", min=0, help="The most videos to show.")] = VIDEOS,
    budget: Annotated[
        int,
        typer.Option("--budget", metavar="MB", min=0, help="The most that videos add to the page; more are stills."),
    ] = BUDGET_MB,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Show a finished run in one HTML page: videos, widths over time, seconds, broadcast attention, failures.

    The page needs no other file and no network. Videos are spread evenly over the shapes of the dataset.

    Example: pabcast report out/demo --out demo.html
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out is {out}; the report is an HTML page, give it the suffix .html")
    check_writable(out, "--out")
    # pyarrow and numpy take a while to import: only once the usage is known to be good.
    from pipelines.report import make_report

    made = make_report(uri, out, videos=videos, budget_bytes=budget * 1_000_000)
    stills = f", {made.stills} are stills" if made.stills else ""
    tell(
        f"{made.totals.videos} videos, {made.failed} failed, {made.lost} gone or not whole; "
        f"{made.embedded} play in the page{stills}\n{out}, {spell_bytes(made.page_bytes)}",
        as_json=as_json,
    )
    if as_json:
        print_json(made.contract())
