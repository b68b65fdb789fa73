"""The requests that wait, in lines of one class and width."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from actors.job import Job
from cluster.plan import Head, Line, Priority

Key = tuple[Priority, int]


class JobQueue:
    """Requests by class and width, each line in order of arrival; putting and taking take no longer with more."""

    def __init__(self) -> None:
        self._lines: dict[Key, OrderedDict[str, Job]] = {}
        self._size = 0
        self._arrivals = 0
        self._starts = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Job]:
        return (job for line in self._lines.values() for job in line.values())

    def put(self, job: Job) -> None:
        """A request comes; its turn is after those that wait now."""
        job.arrival = self._arrivals
        job.turn = self._starts + self._size
        self._arrivals += 1
        self._line(job)[job.order.ticket] = job
        self._size += 1

    def put_back(self, job: Job) -> None:
        """A request that had started waits again, at the front."""
        line = self._line(job)
        line[job.order.ticket] = job
        line.move_to_end(job.order.ticket, last=False)
        self._size += 1

    def take(self, ticket: str) -> Job:
        """A request starts."""
        line = next(line for line in self._lines.values() if ticket in line)
        self._size -= 1
        self._starts += 1
        return line.pop(ticket)

    def remove(self, wanted: Callable[[Job], bool]) -> list[Job]:
        """Take requests out that are not wanted any more."""
        removed = [job for job in self if wanted(job)]
        for job in removed:
            self._line(job).pop(job.order.ticket)
        self._size -= len(removed)
        return removed

    def lines(self, most: int) -> list[Line]:
        """What the planner is told: the first `most` of every line."""
        return [
            Line(
                priority=priority,
                width=width,
                waiting=len(line),
                heads=tuple(self._head(job) for job, _ in zip(line.values(), range(most), strict=False)),
            )
            for (priority, width), line in self._lines.items()
            if line
        ]

    def counts(self) -> dict[Key, int]:
        """How many wait in each line."""
        return {key: len(line) for key, line in self._lines.items() if line}

    def _head(self, job: Job) -> Head:
        return Head(
            ticket=job.order.ticket, arrival=job.arrival, late=self._starts - job.turn, seconds=job.order.seconds
        )

    def _line(self, job: Job) -> OrderedDict[str, Job]:
        return self._lines.setdefault((job.order.priority, job.order.width), OrderedDict())
