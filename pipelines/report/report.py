"""From the uri of a dataset to the file of its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cluster.errors import ConfigError
from pipelines.commands.output import spell_bytes
from pipelines.page_file import PageFile
from pipelines.report.dataset import Dataset
from pipelines.report.failures import Failures
from pipelines.report.figures import Share, Totals, shares, totals
from pipelines.report.gallery import choose_gallery
from pipelines.report.numbers import Numbers
from pipelines.report.page import PageParts, render
from pipelines.report.presence import Presence
from pipelines.report.remarks import Remarks
from pipelines.report.run_record import RunRecord
from pipelines.report.watcher import Watcher, watch_nothing


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page that was written, and the figures on it."""

    uri: str
    file: Path
    page_bytes: int
    totals: Totals
    shares: tuple[Share, ...]
    failed: int
    lost: int
    """Videos that the metadata names and that are gone or not whole."""
    rowless: int
    """Commits without a row."""
    embedded: int
    """Videos that play in the page."""
    stills: int
    unshown: tuple[str, ...]
    """Why the others that were chosen are not shown."""

    @classmethod
    def of(cls, parts: PageParts, file: Path) -> Self:
        """Of the parts of a page that is in `file`."""
        return cls(
            uri=parts.uri,
            file=file,
            page_bytes=file.stat().st_size,
            totals=parts.totals,
            shares=parts.shares,
            failed=parts.failures.count,
            lost=parts.presence.lost,
            rowless=parts.presence.rowless,
            embedded=parts.gallery.tally.embedded,
            stills=parts.gallery.tally.stills,
            unshown=tuple(parts.gallery.tally.problems),
        )

    def contract(self) -> Mapping[str, Any]:
        """The JSON object of `report`."""
        sums = self.totals
        return {
            "uri": self.uri,
            "out": str(self.file),
            "page_bytes": self.page_bytes,
            "videos": sums.videos,
            "failed": self.failed,
            "lost": self.lost,
            "rowless": self.rowless,
            "embedded": self.embedded,
            "stills": self.stills,
            "unshown": list(self.unshown),
            "gpu_hours": sums.worker_s / 3600,
            "active_seconds": sums.active_s,
            "videos_per_hour": sums.videos_per_hour,
            "workers_busy": sums.workers_busy,
            "workers": sums.workers,
            "video_seconds": sums.played_s,
            "file_bytes": sums.file_bytes,
            "bytes_sent": sums.bytes_sent,
            "bytes_saved": sums.bytes_saved,
            "broadcast": [
                {"pab": share.pab, "kind": share.kind, "share": share.broadcast, "videos": share.videos}
                for share in self.shares
            ],
        }


def make_report(
    uri: str, file: PageFile, *, videos: int, budget_bytes: int, watcher: Watcher = watch_nothing
) -> Report:
    """Write the page of the dataset at `uri`; at most `videos` are shown, in at most `budget_bytes` of the page.

    What is kept in memory is about 120 bytes for each row of the metadata, and one video at a time. `watcher` is told
    how far it is.

    Raises:
        ConfigError: no dataset is there, or there is nothing in it to show.
        StoreError: the store cannot be reached, or the page cannot be written.
    """
    dataset = Dataset.open(uri)
    with watcher("reading the failures", None) as advance:
        failures = Failures.read(dataset.store, advance=advance)
    if not dataset.num_rows and not failures.count:
        raise ConfigError(f"{dataset.store.uri} is empty: its run asked for no video, and there is nothing to show")
    numbers = Numbers.of(dataset)
    with watcher("looking for the videos", 2 * dataset.num_rows) as advance:
        presence = Presence.of(dataset, advance)
    parts = PageParts(
        uri=dataset.store.uri,
        totals=totals(numbers),
        numbers=numbers,
        shares=tuple(shares(numbers)),
        failures=failures,
        presence=presence,
        run=RunRecord.read(dataset.store),
        remarks=Remarks.of(dataset, numbers),
        gallery=choose_gallery(dataset, numbers, videos, budget_bytes),
        budget_bytes=budget_bytes,
    )
    with watcher("showing the videos", len(parts.gallery.samples)) as advance:
        file.write(render(parts, advance), f"free some, give less than the {spell_bytes(budget_bytes)} of --budget")
    return Report.of(parts, file.path)
