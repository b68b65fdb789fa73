"""The commands of `pabcast`. They import torch and Ray only when they need them."""

from importlib.metadata import version
from typing import Annotated

import typer

from pipelines.commands.bench import bench
from pipelines.commands.doctor import doctor
from pipelines.commands.generate import generate
from pipelines.commands.models import models
from pipelines.commands.output import tell
from pipelines.commands.plan import plan
from pipelines.commands.report import report
from pipelines.commands.run import run
from pipelines.commands.schedule import schedule
from pipelines.commands.serve import serve

app = typer.Typer(
    name="pabcast",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(plan)
app.command()(generate)
app.command()(schedule)
app.command()(report)
app.command()(serve)
app.command()(models)
app.command()(doctor)
app.add_typer(bench, name="bench")


def _show_version(wanted: bool) -> None:
    if wanted:
        tell(f"pabcast {version('pabcast')}")
        raise typer.Exit()


@app.callback()
def pabcast(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Text-to-video datasets by sequence-parallel gangs with Pyramid Attention Broadcast."""
