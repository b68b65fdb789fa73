"""What keeps the readers of prompts from running far ahead of the videos."""

import time
from dataclasses import dataclass
from typing import Any

import ray

from cluster.errors import ClusterError

READ_AHEAD = 4096
"""Samples that may be open, read and without an outcome, before readers wait; Ray Data itself would go on until its
share of the object store is full."""
_ASK_EVERY_S = 0.2


@dataclass(frozen=True)
class ReadGate:
    """Asks an actor's `open_samples` before each table of rows; it pickles."""

    actor: Any

    def wait(self) -> None:
        """Return when few enough samples are open; `ClusterError` if nobody counts them any more."""
        try:
            while ray.get(self.actor.open_samples.remote()) >= READ_AHEAD:
                time.sleep(_ASK_EVERY_S)
        except ray.exceptions.RayActorError as error:
            raise ClusterError("the process that counts the job's rows died") from error
