"""`pabcast doctor`."""

import os
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import ConfigError
from pipelines.commands.job_arguments import OverridesArgument
from pipelines.commands.output import JsonFlag, VerboseFlag, print_json, tell

if TYPE_CHECKING:
    from pipelines.doctor.finding import Finding

HEALTHY, ILL = 0, 1
PLAIN_COLUMNS = 120
"""As wide is the table where no terminal says how wide it is."""


def doctor(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]", help="YAML file of a job or an endpoint; without it the machine is checked."
        ),
    ] = None,
    overrides: OverridesArgument = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="A GPU of this machine is asked for.")] = False,
    store: Annotated[
        str | None, typer.Option("--store", metavar="URI", help="Try writing there: a folder or s3://bucket/prefix.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="ADDRESS", help="Try the Ray cluster there, as auto or host:port."),
    ] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Check this machine, or what a job or an endpoint wants of it; each line that is not ok has its way out.

    Versions, torch and GPUs, Ray and its cluster, the store and its conditional put, codecs, memory, shared memory
    and disks. Nothing stays that was not there. Without CONFIG, RAY_ADDRESS names the cluster if --address does not.

    Exit code 0: nothing failed (warnings may be); 1: something failed; 2: bad usage or config.

    Example: pabcast doctor configs/demo.yaml output.uri=s3://bucket/demo
    """
    from pipelines.config import read_values
    from pipelines.doctor.wanted import read_wanted

    if not _has_folder():
        raise ConfigError("the folder that this runs in was removed; cd to one that is there")
    if config is not None and not config.strip():
        raise ConfigError("CONFIG is empty; give a YAML file, or leave it out to check the machine")
    if config is not None and "=" in config and not Path(config).exists():
        raise ConfigError(f"{config} is no file; key=value stands behind the CONFIG that it changes")
    values = None if config is None else read_values(config, overrides or [])
    if values is not None and set(values) == {"model"}:
        raise ConfigError(f"the config {config} says nothing; give a job's or an endpoint's, as configs/demo.yaml")
    if config is None and address is None:
        address = os.environ.get("RAY_ADDRESS") or None
    wanted = read_wanted(values, gpu=gpu, store=store, address=address)
    # What reads prompts takes a second to import: only once the config is known to be good.
    from pipelines.doctor.checks import checks_for
    from pipelines.doctor.ward import examine

    findings = examine(checks_for(wanted), wanted, verbose=verbose)
    healthy = all(finding.status != "failed" for finding in findings)
    _show(findings, as_json=as_json)
    if as_json:
        print_json({"ok": healthy, "checks": [asdict(finding) for finding in findings]})
    return HEALTHY if healthy else ILL


def _has_folder() -> bool:
    try:
        return Path.cwd().is_dir()
    except FileNotFoundError:
        return False


def _show(findings: "list[Finding]", *, as_json: bool) -> None:
    from rich.console import Console

    from pipelines.doctor.chart import chart, sum_up

    console = Console(stderr=as_json, highlight=False)
    if console.is_terminal:
        console.print(chart(findings))
    else:
        page = StringIO()
        Console(file=page, width=PLAIN_COLUMNS, highlight=False).print(chart(findings))
        tell("\n".join(line.rstrip() for line in page.getvalue().splitlines()), as_json=as_json)
    tell(sum_up(findings), as_json=as_json)
