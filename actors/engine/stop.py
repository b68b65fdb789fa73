"""How a gang stops between two steps without a collective."""

import threading

from cluster.errors import Cancelled


class StopSignal:
    """A brake on one rank's sampler, worked from another thread.

    Ranks run apart while temporal attention is broadcast, so a rank may not simply leave: its peers would
    wait for it. The gang therefore calls `hold` on every rank, which waits at its next step boundary, and
    then `stop_at(max(answers) + 1)` or `hand_over_after(max(answers))` on all. A rank that holds has finished every
    step it began, so those behind can reach that boundary too, and all leave at the same one.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun = -1
        self._held = False
        self._stop_at: int | None = None
        self._hand_over_after: int | None = None

    @property
    def last_step_begun(self) -> int:
        """The last step this rank began; -1 before the first."""
        return self._begun

    def hold(self) -> int:
        """Make the sampler wait at its next boundary; return the last step begun."""
        with self._changed:
            self._held = True
            return self._begun

    def stop_at(self, step: int) -> None:
        """Let the sampler go on and raise `Cancelled` before it begins `step`."""
        with self._changed:
            self._stop_at = step
            self._held = False
            self._changed.notify_all()

    def hand_over_after(self, step: int) -> None:
        """Let the sampler go on and leave before the first full step after `step`, where latents are all there is."""
        with self._changed:
            self._hand_over_after = step
            self._held = False
            self._changed.notify_all()

    def hands_over(self, step: int) -> bool:
        """Whether the sampler is to leave before `step`, if that is a full one."""
        return self._hand_over_after is not None and step > self._hand_over_after

    def begin(self, step: int) -> None:
        """Called by the sampler before `step`; waits while held.

        Raises:
            Cancelled: when the gang was told to stop here.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._held)
            if self._stop_at is not None and step >= self._stop_at:
                raise Cancelled(f"stopped before step {step}, as asked")
            self._begun = step
