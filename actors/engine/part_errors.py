"""What the libraries raise on a part of a model that is damaged, told in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from cluster.errors import ConfigError

_RAISED = (AttributeError, ImportError, LookupError, OSError, RuntimeError, SafetensorError, TypeError, ValueError)
"""NotImplementedError is a RuntimeError."""
_CUT_OFF = ("Unable to load weights", "Error while deserializing", "header", "InvalidHeader", "MetadataIncomplete")
"""What is said of a file of weights that is not whole."""
_LONGEST = 300


@contextmanager
def told_of(part: Path) -> Iterator[None]:
    """Raise `ConfigError`, which names `part`, for what the libraries raise on its files; one raised here stays."""
    try:
        yield
    except _RAISED as error:
        said = " ".join(str(error).split())
        hint = "; the file may be cut off, fetch it again" if any(words in said for words in _CUT_OFF) else ""
        reason = said if " " in said else f"{type(error).__name__} {said}".strip()
        raise ConfigError(f"{part} cannot be loaded: {reason[:_LONGEST]}{hint}") from error
