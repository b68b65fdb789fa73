"""The process of one check: takes the check and the wish, pickled, on stdin, and gives what was found on stdout."""

import os
import pickle
import signal
import sys
import traceback

from pipelines.doctor.finding import Finding, failed

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
        first = (str(error).splitlines() or [""])[0]
        found = [failed(check.name, f"unexpected {type(error).__name__}: {first}", "--verbose shows where")]
    with os.fdopen(answer, "wb") as file:
        pickle.dump(found, file)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
