"""The entry point of `pabcast`. It imports next to nothing, so that an interrupt finds it listening."""

import contextlib
import os
import sys
import traceback

from pipelines.interrupts import INTERRUPTED, Brake

FAILED, BAD_USAGE = 1, 2


def main() -> None:
    """Run the command line; errors become one sentence on stderr and the exit code of their kind."""
    # Ray, read at its import: a thread that outlives our connection must not join whatever cluster is near.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        code = _main()
    except KeyboardInterrupt:  # before the brake was at its place
        _say_stopped()
        _leave_at_once(INTERRUPTED)
    sys.exit(code)


def _main() -> int:
    with Brake() as brake:
        try:
            code, tidy = _run()
        except KeyboardInterrupt:
            code, tidy = INTERRUPTED, False
        if brake.heard:
            _say_stopped()
        if not tidy:
            _leave_at_once(code)
    return code


def _run() -> tuple[int, bool]:
    """The exit code, and whether the interpreter may end as it usually does."""
    from pipelines.commands.output import open_streams

    open_streams()
    from pipelines.app import app

    try:
        result = app(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED, True
    except Exception as error:
        if "--verbose" in sys.argv[1:]:
            _show(error)
        return _tell(error)
    code = result if isinstance(result, int) else 0
    return code, code != INTERRUPTED


def _show(error: Exception) -> None:
    from pipelines.commands.output import tell

    tell("".join(traceback.format_exception(error)).rstrip(), as_json=True)


def _tell(error: Exception) -> tuple[int, bool]:
    from typer.exceptions import Abort, TyperException

    from cluster.errors import ConfigError, PabcastError
    from pipelines.commands.output import tell
    from pipelines.daemons import RayLost

    if isinstance(error, Abort):
        return INTERRUPTED, False
    if isinstance(error, TyperException):
        message = error.format_message()
        if message:  # of a command without arguments it is its help, which is no error of anybody
            tell(message if message.startswith("Usage: ") else f"error: {message}", as_json=True)
        return error.exit_code, True
    if isinstance(error, PabcastError):
        tell(f"error: {error}", as_json=True)
        return BAD_USAGE if isinstance(error, ConfigError) else FAILED, not isinstance(error, RayLost)
    first = (str(error).splitlines() or [""])[0]
    tell(f"error: unexpected {type(error).__name__}: {first} (--verbose shows where)", as_json=True)
    return FAILED, True


def _say_stopped() -> None:
    # A Ctrl-C ends the `tee` that reads us too; what is raised here goes to Ray's hook, which waits for Ray.
    with contextlib.suppress(OSError):
        print("stopped; what is committed stays" if sys.argv[1:2] == ["run"] else "stopped", file=sys.stderr)  # noqa: T201


def _leave_at_once(code: int) -> None:
    """Exit past what Python and Ray do at an exit: Ray's part of it would wait for processes that are gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
