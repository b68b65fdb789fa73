"""The command `pabcast`. Its parts import torch and Ray only when a command needs them."""

import os
import sys
import traceback

import typer
from typer.exceptions import Abort, TyperException

from cluster.errors import ConfigError, PabcastError
from pipelines.commands.bench import bench
from pipelines.commands.generate import generate
from pipelines.commands.models import models
from pipelines.commands.run import run
from pipelines.commands.schedule import schedule

FAILED, BAD_USAGE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="pabcast",
    help="Text-to-video datasets by sequence-parallel gangs with Pyramid Attention Broadcast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(generate)
app.command()(schedule)
app.command()(models)
app.add_typer(bench, name="bench")


def main() -> None:
    """Run the command line; errors become one sentence on stderr and the exit code of their kind."""
    verbose = "--verbose" in sys.argv[1:]
    # Ray, read at its import: a thread that outlives our connection must not join whatever cluster is near.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    code = _run()
    sys.stdout.flush()
    if isinstance(code, int):
        sys.exit(code)
    if verbose:
        traceback.print_exception(code)
    sys.exit(_tell(code))


def _run() -> int | Exception:
    try:
        result = app(standalone_mode=False)
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return error
    return result if isinstance(result, int) else 0


def _tell(error: Exception) -> int:
    if isinstance(error, TyperException):
        message = error.format_message()
        if message:
            print(f"error: {message}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    if isinstance(error, PabcastError):
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return BAD_USAGE if isinstance(error, ConfigError) else FAILED
    first = (str(error).splitlines() or [""])[0]
    print(f"error: unexpected {type(error).__name__}: {first} (--verbose shows where)", file=sys.stderr)  # noqa: T201
    return FAILED


if __name__ == "__main__":
    main()
