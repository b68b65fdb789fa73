"""What one rank tells of a video it made."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.figures import Figures
from cluster.forecast import CollectiveCount
from cluster.pab import KINDS, Kind


@dataclass(frozen=True, kw_only=True)
class VideoReport:
    """Times in seconds, counts and bytes of one rank's part in a video."""

    gang: int
    """Width of the gang."""
    rank: int
    steps: int
    """Evaluations of the model; some samplers make more of them than the steps that are asked for."""
    first_step: int = 0
    """The step that this run of it began with; all else but `computed` is of the steps from there on."""
    seconds: float
    """From the request to the decoded frames."""
    text_seconds: float
    denoise_seconds: float
    decode_seconds: float
    computed: dict[Kind, int]
    """Steps that computed each kind."""
    kinds: tuple[Kind, ...] = KINDS
    """Those of them that the model has."""
    all_to_all: CollectiveCount = field(default_factory=CollectiveCount)
    all_gather: CollectiveCount = field(default_factory=CollectiveCount)
    swaps: CollectiveCount = field(default_factory=CollectiveCount)
    """Predictions that the halves of a gang, each with a guidance branch, handed to each other."""
    decode_sends: CollectiveCount = field(default_factory=CollectiveCount)
    """What decoding handed to single ranks: frames of a causal decoder's layers, and finished ones."""
    bytes_saved: int = 0
    """What the steps that broadcast would have handed to `all_to_all`."""
    cache_peak_bytes: int = 0
    """The most that the broadcast cache held at once on this rank."""
    graphs: int = 0
    """Graphs that the rank's blocks have been compiled to by now; none if they run as they are written."""

    @property
    def figures(self) -> Figures:
        """What of it is for metrics."""
        run = max(1, self.steps - self.first_step)
        sent = (self.all_to_all, self.all_gather, self.swaps, self.decode_sends)
        return Figures(
            step_seconds=self.denoise_seconds / run,
            bytes_sent=sum(count.bytes for count in sent),
            cache_peak_bytes=self.cache_peak_bytes,
            computed={str(kind): steps for kind, steps in self.computed.items()},
        )


def bytes_saved(sent: int, computes: Sequence[bool]) -> int:
    """What was not sent: the steps that compute the kind that needs other ranks sent `sent` bytes, all alike."""
    if not sent:
        return 0
    computed = sum(computes)
    return sent * (len(computes) - computed) // computed
