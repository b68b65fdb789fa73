"""From the uri of a dataset to the file of its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cluster.errors import ConfigError
from pipelines.report.dataset import Dataset
from pipelines.report.failures import Failures
from pipelines.report.figures import Share, Totals, shares, totals
from pipelines.report.gallery import choose_gallery
from pipelines.report.numbers import Numbers
from pipelines.report.page import PageParts, write_page
from pipelines.report.presence import Presence
from pipelines.report.remarks import Remarks
from pipelines.report.run_record import RunRecord


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
            embedded=len(parts.gallery.embedded),
            stills=parts.gallery.stills,
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
            "gpu_hours": sums.worker_s / 3600,
            "active_seconds": sums.active_s,
            "videos_per_hour": sums.videos_per_hour,
            "workers_busy": sums.workers_busy,
            "video_seconds": sums.played_s,
            "file_bytes": sums.file_bytes,
            "bytes_sent": sums.bytes_sent,
            "bytes_saved": sums.bytes_saved,
            "broadcast": [
                {"pab": share.pab, "kind": share.kind, "share": share.broadcast, "videos": share.videos}
                for share in self.shares
            ],
        }


def make_report(uri: str, file: Path, *, videos: int, budget_bytes: int) -> Report:
    """Write the page of the dataset at `uri`; at most `videos` are shown, in at most `budget_bytes` of the page.

    What is kept in memory is about 120 bytes for each row of the metadata, and one video at a time.

    Raises:
        ConfigError: no dataset is there, or there is nothing in it to show.
        StoreError: the store cannot be reached, or the page cannot be written.
    """
    dataset = Dataset.open(uri)
    failures = Failures.read(dataset.store)
    if not dataset.num_rows and not failures.count:
        raise ConfigError(f"{dataset.store.uri} is empty: its run asked for no video, and there is nothing to show")
    numbers = Numbers.of(dataset)
    parts = PageParts(
        uri=dataset.store.uri,
        totals=totals(numbers),
        numbers=numbers,
        shares=tuple(shares(numbers)),
        failures=failures,
        presence=Presence.of(dataset),
        run=RunRecord.read(dataset.store),
        remarks=Remarks.of(dataset, numbers),
        gallery=choose_gallery(dataset, numbers, videos, budget_bytes),
        budget_bytes=budget_bytes,
    )
    write_page(parts, file)
    return Report.of(parts, file)
