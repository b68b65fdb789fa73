"""What is wrong with one file, and not with its store."""

from cluster.errors import StoreError


def file_problem(error: StoreError | OSError) -> str:
    """Why a file cannot be read, as the system says it; raises `error` if it is the store that does not answer.

    Every other file would say so too, each after long tries.
    """
    cause = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(cause, OSError):
        raise error
    return cause.strerror or type(cause).__name__
