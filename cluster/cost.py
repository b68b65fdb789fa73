"""Seconds and memory of a video at a width, from its work and a device's rates."""

from dataclasses import dataclass

from cluster.calibration import Calibration
from cluster.forecast import Forecast
from cluster.guidance import Layout
from cluster.workload import SiteWork, Workload


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one video takes on a gang of `width`."""

    width: int
    text_s: float
    compute_s: float
    """The denoising steps without what they send."""
    communication_s: float
    decode_s: float
    peak_bytes: int
    """The most memory a rank needs."""
    sent: Forecast
    """What rank 0 hands to the collectives."""

    @property
    def denoise_s(self) -> float:
        """The denoising steps."""
        return self.compute_s + self.communication_s

    @property
    def seconds(self) -> float:
        """From the lease to the frames."""
        return self.text_s + self.denoise_s + self.decode_s

    @property
    def gpu_seconds(self) -> float:
        """Seconds of all the gang's GPUs together."""
        return self.width * self.seconds


def predict(workload: Workload, width: int, calibration: Calibration) -> Cost:
    """The cost of `workload` on a gang of `width`, as rank 0, which holds the largest share, has it."""
    sent = workload.forecast(width)
    compute = sum(step_seconds(workload, step, width, calibration) for step in range(workload.schedule.num_steps))
    decode = SiteWork(projections=workload.decode_flops(width))
    return Cost(
        width=width,
        text_s=calibration.text_s,
        compute_s=compute,
        communication_s=_communication_seconds(sent, workload.layout(width), calibration),
        decode_s=calibration.decode.seconds(decode),
        peak_bytes=workload.peak_bytes(width),
        sent=sent,
    )


def _communication_seconds(sent: Forecast, layout: Layout, calibration: Calibration) -> float:
    """All of a swap crosses the link; of what a rank shares out, its own part does not."""
    shared = sum(calibration.collective_seconds(count, layout.sharers) for count in (sent.all_to_all, sent.all_gather))
    return shared + calibration.collective_seconds(sent.swaps)


def step_seconds(workload: Workload, step: int, width: int, calibration: Calibration) -> float:
    """Seconds of one step's own work on rank 0, without what it sends."""
    numbers, base = workload.numbers, workload.ends(width)
    seconds = 0.0
    for kind in set(numbers.sites):
        sites = numbers.sites.count(kind)
        layers = sum(workload.schedule.computes(kind, step, layer) for layer in range(numbers.num_layers))
        work = workload.site(kind, width)
        if kind == "mlp":
            base += work * (sites * layers)
        else:
            seconds += sites * layers * calibration.attention(kind).seconds(work)
    return seconds + calibration.base.seconds(base)
