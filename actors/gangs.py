"""The gangs of a pool, and which request each has."""

import time
from collections.abc import Iterator

from actors.domain import Domain
from actors.gang import Gang
from actors.job import Job
from actors.member import Member
from cluster.plan import DomainState, IdleGang, RunningGang


class Gangs:
    """Every gang by its name; one without a request is idle."""

    def __init__(self) -> None:
        self._gangs: dict[int, Gang] = {}
        self._jobs: dict[int, Job] = {}

    def __iter__(self) -> Iterator[tuple[Gang, bool]]:
        """Every gang, and whether it has a request."""
        return ((gang, name in self._jobs) for name, gang in self._gangs.items())

    def __getitem__(self, name: int) -> Gang:
        return self._gangs[name]

    @property
    def any_busy(self) -> bool:
        """Whether some gang has a request."""
        return bool(self._jobs)

    @property
    def busy_members(self) -> set[Member]:
        """The workers of gangs with a request, and those that wait to join one."""
        return {member for gang, busy in self if busy for member in (*gang.members, *gang.extra)}

    def job(self, gang: Gang) -> Job:
        """The request that a busy gang has."""
        return self._jobs[gang.name]

    def lease(self, gang: Gang, job: Job) -> None:
        """A gang, new or idle, has a request now."""
        self._gangs[gang.name] = gang
        self._jobs[gang.name] = job

    def free(self, gang: Gang, *, keep: bool) -> None:
        """A gang has no request any more; kept for the next one, or forgotten."""
        self._jobs.pop(gang.name, None)
        if not keep:
            self._gangs.pop(gang.name, None)

    def dissolve(self, names: tuple[int, ...]) -> list[Member]:
        """End idle gangs; their workers."""
        gangs = [self._gangs.pop(name) for name in names]
        for gang in gangs:
            gang.dissolve()
        return [member for gang in gangs for member in gang.members]

    def drop_idle(self, domains: set[int]) -> None:
        """Forget the idle gangs that are in none of these domains."""
        for gang in [gang for gang, busy in self if not busy and gang.domain not in domains]:
            del self._gangs[gang.name]

    def lose(self, lost: Member) -> list[Member]:
        """A worker of an idle gang, or of none, is gone; those of its gang that are left."""
        gang = next((gang for gang, _ in self if lost in gang.members), None)
        if gang is None:
            return []
        del self._gangs[gang.name]
        return [member for member in gang.members if member is not lost]

    def state(self, domain: Domain) -> DomainState:
        """What the planner is told of a domain."""
        here = [(gang, self._jobs.get(name)) for name, gang in self._gangs.items() if gang.domain == domain.name]
        return DomainState(
            name=domain.name,
            free=len(domain.free),
            idle=tuple(IdleGang(gang=gang.name, width=gang.width) for gang, job in here if job is None),
            running=tuple(_running(gang, job) for gang, job in here if job is not None),
        )


def _running(gang: Gang, job: Job) -> RunningGang:
    stays = gang.leaving or gang.extra or job.cancelled
    left_s = {} if stays else job.left_s(time.monotonic())
    return RunningGang(gang=gang.name, width=gang.width, priority=job.order.priority, left_s=left_s)
