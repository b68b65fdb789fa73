"""How long the workers of a pool were busy."""


class BusyClock:
    """Adds up leases; times are seconds on one clock, passed in."""

    def __init__(self) -> None:
        self._workers = 0
        self._since: float | None = None
        """When the workers' time was last added up; None before the first lease."""
        self._span = self._span_at_release = 0.0
        self._busy = 0.0
        self._leases: dict[int, tuple[float, int]] = {}

    def size(self, workers: int, now: float) -> None:
        """The pool has so many workers from now on."""
        self._add_up(now)
        self._workers = workers

    def lease(self, gang: int, width: int, now: float) -> None:
        """A request starts on `width` workers."""
        if self._since is None:
            self._since = now
        self._leases[gang] = (now, width)

    def release(self, gang: int, now: float) -> None:
        """Its workers have nothing more to do for it."""
        begun, width = self._leases.pop(gang)
        self._busy += (now - begun) * width
        self._add_up(now)
        self._span_at_release = self._span

    def busy_seconds(self, now: float) -> float:
        """Worker-seconds with a request, the running ones so far included."""
        return self._busy + sum((now - begun) * width for begun, width in self._leases.values())

    def span_seconds(self, now: float) -> float:
        """Worker-seconds from the first lease to the last release, or to `now` while one runs."""
        self._add_up(now)
        return self._span if self._leases else self._span_at_release

    def _add_up(self, now: float) -> None:
        if self._since is not None:
            self._span += (now - self._since) * self._workers
            self._since = now
