"""The arguments of the commands that take a job's config."""

from typing import Annotated

import typer

ConfigArgument = Annotated[
    str,
    typer.Argument(metavar="CONFIG", help="YAML file, as configs/demo.yaml (jobs) or configs/serve.yaml (endpoints)."),
]
OverridesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Config keys to override.")
]
