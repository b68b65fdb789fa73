"""What a job tells at its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.commands.output import spell_seconds
from pipelines.contact_sheet import VIDEOS_SHOWN

SHOWN_FAILURES = 10
DONE, NOT_DONE, SOME_FAILED = 0, 1, 3
LOST_TO: Mapping[str, str] = {
    "rank": "a worker died or hung",
    "node": "a node went",
    "drain": "a node was to go",
    "forming": "a group did not form",
    "pool": "the pool was started again",
}
"""What a video lost its gang to, for people: each `actors.job.Cause`."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A row without a video."""

    source: str
    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class JobSummary:
    """Counts of samples, times in seconds."""

    requested: int
    skipped: int
    """Committed by an earlier run."""
    committed: int
    failed: int
    seconds: float
    gang_busy_fraction: float
    """The share of the workers' time, from the first lease to the last release, that made videos."""
    uri: str
    rows: int = 0
    """Videos in the dataset now."""
    missing: int = 0
    """Commits without their whole video, that cannot be read, or that are gone."""
    missing_names: tuple[str, ...] = ()
    """The first of those, by key."""
    lost: int = 0
    """How many of the missing count as committed or skipped here and have no commit any more."""
    picture: str | None = None
    """Key of a picture of some of its videos, if one was drawn."""
    failures: tuple[Failure, ...] = ()
    retries: Mapping[str, int] = field(default_factory=dict)
    """How often a video lost its gang, by cause, as the pool that was there last counts."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Seconds summed over the videos, by part of their way."""

    @property
    def exit_code(self) -> int:
        """0: every row is committed and the dataset whole; 3: some failed, or committed videos are missing."""
        return SOME_FAILED if self.failed or self.missing else DONE

    @property
    def open(self) -> int:
        """Samples without an outcome, of a job that was stopped."""
        return self.requested - self.skipped - self.committed - self.failed

    def contract(self) -> dict[str, Any]:
        """The JSON object of `run`."""
        return {
            "requested": self.requested,
            "skipped": self.skipped,
            "committed": self.committed,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "gang_busy_fraction": round(self.gang_busy_fraction, 4),
            "uri": self.uri,
            "rows": self.rows,
            "missing": self.missing,
            "missing_names": list(self.missing_names),
            "open": self.open,
            "failures": [{"source": item.source, "id": item.id, "reason": item.reason} for item in self.failures],
            "retries": dict(self.retries),
            "failures_left_out": max(0, self.failed - len(self.failures)),
            "part_seconds": {name: round(seconds, 3) for name, seconds in self.parts.items()},
        }

    def spell(self) -> str:
        """A few lines for a person."""
        lines = [
            f"{self.committed} made, {self.skipped} were there, {self.failed} failed, of {self.requested} asked for; "
            f"{spell_seconds(self.seconds)}",
        ]
        if self.committed:
            busy = f"{self.gang_busy_fraction:.0%}"
            lines.append(f"once ready, the workers were busy {busy} of the time{self._slowest()}")
        if any(self.retries.values()):
            causes = ", ".join(f"{LOST_TO[cause]} {count}×" for cause, count in sorted(self.retries.items()) if count)
            lines.append(f"videos that lost their gang went on with another: {causes}")
        for item in self.failures[:SHOWN_FAILURES]:
            name = f" ({item.id})" if item.id else ""
            lines.append("  failed " + " ".join(f"{item.source}{name}: {item.reason}".splitlines()))
        hidden = self.failed - min(len(self.failures), SHOWN_FAILURES)
        if hidden:
            lines.append(f"  and {hidden} more, in {self.uri}/_pabcast/failures")
        if self.missing:
            lines.append(
                f"  {self.missing} committed videos are gone or not whole, or their commits are gone or damaged; "
                f"remove what is left of them in {self.uri}/_pabcast/commits and run again to make them anew"
            )
            lines += [f"  missing {name}" for name in self.missing_names[:SHOWN_FAILURES]]
            if self.missing > SHOWN_FAILURES:
                lines.append(f"  and {self.missing - SHOWN_FAILURES} more")
        which = "some" if self.rows > VIDEOS_SHOWN else "all"
        shown = f"; {which} of them in {self.picture}" if self.picture else ""
        lines.append(f"{self.rows} videos in {self.uri}{shown}")
        return "\n".join(lines)

    def _slowest(self) -> str:
        work = {name: seconds for name, seconds in self.parts.items() if name != "queue"}
        if not work:
            return ""
        name = max(work, key=lambda part: work[part])
        return f"; the slowest part was {name}, {spell_seconds(work[name] / self.committed)} a video"
