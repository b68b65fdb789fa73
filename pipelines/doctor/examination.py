"""The process of one check: takes the check and the wish, pickled, on stdin, and gives what was found on stdout."""

import os
import pickle
import signal
import sys
import tempfile
import traceback
from contextlib import suppress

from pipelines.doctor.finding import SET_TMPDIR, Finding, failed

GRACE_S = 5
"""How long it may outlive its limit, where the command that began it was killed."""


def main() -> None:
    """Look, answer, and end without what libraries do at an exit: some of them wait."""
    answer = os.dup(1)
    # What libraries print belongs to no line.
    os.dup2(2, 1)
    check, wanted = pickle.load(sys.stdin.buffer)
    signal.alarm(int(check.limit_s) + GRACE_S)
    try:
        found: list[Finding] = check.look(wanted)
    except Exception as error:
        traceback.print_exception(error)
        found = [unexpected(check.name, error)]
    # Of a command that was killed nobody listens.
    with suppress(BrokenPipeError), os.fdopen(answer, "wb") as file:
        pickle.dump(found, file)
    sys.stdout.flush()
    os._exit(0)


def unexpected(name: str, error: Exception) -> Finding:
    """The line of an error that nobody raised on purpose."""
    if not has_temporary_folder():
        return failed(name, "it needs a folder for temporary files, and none can be written", SET_TMPDIR)
    first = (str(error).splitlines() or [""])[0]
    return failed(name, f"unexpected {type(error).__name__}: {first}", "--verbose shows where")


def has_temporary_folder() -> bool:
    """Whether Python finds one that can be written."""
    try:
        return bool(tempfile.gettempdir())
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main()
