"""How a video was made, as its commit marker keeps it for reports."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from actors.engine.report import VideoReport


@dataclass(frozen=True, kw_only=True)
class Making:
    """Columns of the metadata. Nothing of it decides the video, and markers of earlier versions have none of it.

    Times and bytes are of the gang that ended the video, from `first_step` on; steps are of the whole video.
    """

    started_at: str = ""
    """When the gang began, by the clock of the process that commits: UTC, ISO 8601, in milliseconds."""
    evaluations: int = 0
    """Steps of the sampler: it may make more of them than were asked for. 0: not known."""
    first_step: int = 0
    """The step that the gang began with; others made those before it."""
    spatial_computed: int = 0
    """Steps that computed this kind, and did not broadcast it; 0 if the model has none of it."""
    temporal_computed: int = 0
    cross_computed: int = 0
    mlp_computed: int = 0
    bytes_sent: int = 0
    """What rank 0 handed to the collectives, its own part included, and to single ranks."""
    bytes_saved: int = 0
    """What the steps that broadcast would have handed to them."""

    @classmethod
    def of(cls, report: "VideoReport", ended_at: float) -> Self:
        """From what rank 0 tells; `ended_at`, in seconds since 1970, is when it was heard."""
        began = datetime.fromtimestamp(ended_at - report.seconds, UTC)
        computed = {f"{kind}_computed": report.computed[kind] for kind in report.kinds if kind in report.computed}
        return cls(
            started_at=began.isoformat(timespec="milliseconds"),
            evaluations=report.steps,
            first_step=report.first_step,
            bytes_sent=report.figures.bytes_sent,
            bytes_saved=report.bytes_saved,
            **computed,
        )
