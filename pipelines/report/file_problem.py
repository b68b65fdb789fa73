"""What is wrong with one file, and not with its store."""

from cluster.errors import StoreError
from pipelines.store import Outside

_MOST_NAME_BYTES = 1024
"""Of a key in S3."""


def file_problem(error: StoreError | OSError) -> str:
    """Why a file cannot be read, as the system says it; raises `error` if it is the store that does not answer.

    Every other file would say so too, each after long tries.
    """
    cause = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(cause, OSError):
        raise error
    return cause.strerror or type(cause).__name__


def check_name(name: str) -> str:
    """Return `name`; `ValueError` if it is longer than any name of a file, which no store need be asked for."""
    if len(name.encode("utf-8", "surrogatepass")) > _MOST_NAME_BYTES:
        raise ValueError(f"a name of {len(name)} characters")
    return name


def spell_problem(error: ValueError | StoreError | OSError) -> str:
    """What follows the name of a file that cannot be looked at; raises `error` as `file_problem` does."""
    if isinstance(error, Outside):
        return str(error)
    if isinstance(error, ValueError):  # no key at all
        return "is no name of a file in the dataset"
    return f"cannot be read: {file_problem(error)}"
