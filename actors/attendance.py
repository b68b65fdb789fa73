"""Which drivers still use a pool."""


class Attendance:
    """The clients of a pool by when they were last heard; times are seconds on one clock, passed in.

    A driver may hold several clients, and its Ray Data actors submit under its name.
    """

    def __init__(self, timeout_s: float, now: float) -> None:
        self._timeout_s = timeout_s
        self._last_heard = now
        self._clients: dict[str, tuple[str, float]] = {}

    def hear(self, client: str, owner: str, now: float) -> None:
        """A client of the driver `owner` is there."""
        self._clients[client] = (owner, now)
        self._last_heard = now

    def leave(self, client: str) -> None:
        """A client says goodbye."""
        self._clients.pop(client, None)

    def expire(self, now: float) -> None:
        """Forget those not heard of for too long."""
        self._clients = {
            client: (owner, heard) for client, (owner, heard) in self._clients.items() if now - heard <= self._timeout_s
        }

    def is_here(self, owner: str) -> bool:
        """Whether a driver has a client here."""
        return any(owner == of for of, _ in self._clients.values())

    def deserted(self, now: float, *, met: bool) -> bool:
        """Whether nobody is left; a pool that met nobody yet waits for the first as long as for a lost one."""
        return not self._clients and (met or now - self._last_heard > self._timeout_s)
