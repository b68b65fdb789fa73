"""The command `pabcast`. Its parts import torch and Ray only when a command needs them."""

import contextlib
import os
import sys
import traceback
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from cluster.errors import ConfigError, PabcastError
from pipelines.commands.bench import bench
from pipelines.commands.generate import generate
from pipelines.commands.models import models
from pipelines.commands.output import open_streams, tell
from pipelines.commands.run import run
from pipelines.commands.schedule import schedule
from pipelines.daemons import RayLost

FAILED, BAD_USAGE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="pabcast",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(generate)
app.command()(schedule)
app.command()(models)
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


def main() -> None:
    """Run the command line; errors become one sentence on stderr and the exit code of their kind."""
    verbose = "--verbose" in sys.argv[1:]
    open_streams()
    # Ray, read at its import: a thread that outlives our connection must not join whatever cluster is near.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    code = _run()
    if isinstance(code, int):
        sys.exit(code)
    if verbose:
        tell("".join(traceback.format_exception(code)).rstrip(), as_json=True)
    answer = _tell(code)
    if isinstance(code, RayLost):
        _leave_at_once(answer)
    sys.exit(answer)


def _run() -> int | Exception:
    try:
        result = app(standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return error
    return result if isinstance(result, int) else 0


def _leave_at_once(code: int) -> None:
    """Exit past what Python and Ray do at an exit: Ray's part of it would wait for processes that are gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _tell(error: Exception) -> int:
    if isinstance(error, TyperException):
        message = error.format_message()
        if message:  # of a command without arguments it is its help, which is no error of anybody
            tell(message if message.startswith("Usage: ") else f"error: {message}", as_json=True)
        return error.exit_code
    if isinstance(error, PabcastError):
        tell(f"error: {error}", as_json=True)
        return BAD_USAGE if isinstance(error, ConfigError) else FAILED
    first = (str(error).splitlines() or [""])[0]
    tell(f"error: unexpected {type(error).__name__}: {first} (--verbose shows where)", as_json=True)
    return FAILED


if __name__ == "__main__":
    main()
