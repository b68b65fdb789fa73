"""How long the workers of a pool were busy."""


class BusyClock:
    """Adds up leases; times are seconds on one clock, passed in."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0
        self._seconds = 0.0
        self._leases: dict[int, tuple[float, int]] = {}

    def lease(self, gang: int, width: int, now: float) -> None:
        """A request starts on `width` workers."""
        self._first = now if self._first is None else self._first
        self._leases[gang] = (now, width)

    def release(self, gang: int, now: float) -> None:
        """Its workers have nothing more to do for it."""
        begun, width = self._leases.pop(gang)
        self._seconds += (now - begun) * width
        self._last = now

    def busy_seconds(self, now: float) -> float:
        """Worker-seconds with a request, the running ones so far included."""
        return self._seconds + sum((now - begun) * width for begun, width in self._leases.values())

    def span_seconds(self, now: float) -> float:
        """From the first lease to the last release, or to `now` while one runs."""
        if self._first is None:
            return 0.0
        return (now if self._leases else self._last) - self._first
