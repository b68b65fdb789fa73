"""Who is told how far the work is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from pipelines.progress import Advance

Watcher = Callable[[str, int | None], AbstractContextManager[Advance]]
"""As `pipelines.progress.counting`: what is done, and how often; None where nobody knows."""
EVERY = 256
"""Of small things, how many are done from one call to the next."""


@contextmanager
def watch_nothing(what: str, total: int | None) -> Iterator[Advance]:
    """A watcher that does not listen."""
    del what, total
    yield lambda done=None: None
