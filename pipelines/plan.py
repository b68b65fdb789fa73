"""A job without running it: its rows by shape, the width of each and why, seconds, memory and bytes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from actors.engine.request import VideoRequest
from cluster.calibration import Calibration
from cluster.errors import RequestError
from cluster.gpu import GpuSpec
from cluster.makespan import Batch, makespan
from cluster.width import WidthDecision
from cluster.workload import Workload
from pipelines.config import JobConfig
from pipelines.gpus import find_gpu
from pipelines.width_policy import Kindred, WidthPolicy, model_numbers


@dataclass(frozen=True, kw_only=True)
class PlannedGroup:
    """The videos of one kind, and the width they get."""

    kindred: Kindred
    videos: int
    workload: Workload
    decision: WidthDecision

    @property
    def gpu_seconds(self) -> float:
        """Of all its videos."""
        return self.videos * self.decision.cost.gpu_seconds

    @property
    def all_to_all_bytes(self) -> int:
        """What the mean rank hands to the all-to-alls of one video."""
        return self.workload.mean_all_to_all_bytes(self.decision.width)


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """What a job would take."""

    gpu: GpuSpec
    domains: tuple[int, ...]
    """Workers of each; no gang reaches beyond one."""
    calibration: Calibration
    groups: tuple[PlannedGroup, ...]
    refused: tuple[tuple[int, str], ...] = ()
    """How many rows cannot be made, by reason."""

    @property
    def workers(self) -> int:
        """As many as the job may hold."""
        return sum(self.domains)

    @property
    def videos(self) -> int:
        """How many would be made."""
        return sum(group.videos for group in self.groups)

    @property
    def gpu_hours(self) -> float:
        """Of all videos."""
        return sum(group.gpu_seconds for group in self.groups) / 3600

    @property
    def hours(self) -> float:
        """By the clock, the longest videos first; workers that fit no further gang of a kind are idle."""
        costs = ((group.videos, group.decision.cost) for group in self.groups)
        batches = [Batch(videos=videos, width=cost.width, seconds=cost.seconds) for videos, cost in costs]
        return makespan(batches, self.domains) / 3600

    @property
    def dollars(self) -> float | None:
        """The price of the GPU-hours, where the GPU has one."""
        price = self.gpu.dollars_per_hour
        return None if price is None else price * self.gpu_hours


@dataclass(frozen=True, kw_only=True)
class PlannedWorkers:
    """The workers of a job that is planned."""

    workers: int
    domain: int
    """Those of a domain."""
    limit: str
    """What says how wide its gangs may be."""

    @classmethod
    def of(cls, config: JobConfig, *, says_workers: bool) -> "PlannedWorkers":
        """Of a GPU that the job names, a domain, unless `config` says how many itself."""
        workers, domain = config.cluster.workers_of_a_job, config.cluster.widest_gang
        if config.gpu is not None:
            most = find_gpu(config.gpu).domain
            if not says_workers:
                workers, domain = most, most
            if min(workers, domain) >= most:
                return cls(workers=workers, domain=most, limit=f"the domain of {config.gpu} in configs/gpus")
        return cls(workers=workers, domain=domain, limit="cluster.workers and cluster.domain_workers")

    @property
    def widest(self) -> int:
        """Of its gangs."""
        return min(self.workers, self.domain)

    @property
    def domains(self) -> tuple[int, ...]:
        """Workers by domain, as many as the job may hold."""
        full, rest = divmod(self.workers, self.domain)
        return (self.domain,) * full + ((rest,) if rest else ())


def make_plan(config: JobConfig, requests: Iterator[VideoRequest | str], *, says_workers: bool = True) -> JobPlan:
    """Plan `requests`; a text among them is the reason why a row has none.

    Without `says_workers`, the config leaves their number to the GPU that it names.
    """
    planned = PlannedWorkers.of(config, says_workers=says_workers)
    config.gang.check_workers(planned.widest, planned.limit)
    policy = WidthPolicy.of(config, model_numbers(config.model), planned.widest)
    videos: Counter[Kindred] = Counter()
    refused: Counter[str] = Counter()
    for request in requests:
        if isinstance(request, str):
            refused[request] += 1
            continue
        kindred = Kindred.of(request)
        try:
            policy.decide(kindred)
        except RequestError as error:
            refused[str(error)] += 1
        else:
            videos[kindred] += 1
    order = sorted(videos, key=lambda kindred: (kindred.shape.height * kindred.shape.width, kindred.shape.num_frames))
    groups = [_group(policy, kindred, videos[kindred]) for kindred in order]
    return JobPlan(
        gpu=policy.gpu,
        domains=planned.domains,
        calibration=policy.calibration,
        groups=tuple(groups),
        refused=tuple((count, reason) for reason, count in refused.most_common()),
    )


def _group(policy: WidthPolicy, kindred: Kindred, videos: int) -> PlannedGroup:
    workload, decision = policy.decide(kindred)
    return PlannedGroup(kindred=kindred, videos=videos, workload=workload, decision=decision)
