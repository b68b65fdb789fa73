"""One mixed list of videos, made by gangs of each fixed width and by `gang.width=auto`, on the same workers."""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from actors.engine.request import VideoRequest
from actors.pool_client import PoolClient
from actors.status import PoolStatus
from cluster.calibration import Calibration
from pipelines.bench_mix import Mix
from pipelines.gang_picture import Look, Span
from pipelines.ray_session import ray_session
from pipelines.width_policy import WidthPolicy
from pipelines.widths import GangConfig

AUTO, STAYING = "auto", "auto, not widened"
LOOK_EVERY_S = 0.1
_WARM_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to choose widths."""

    name: str
    policy: WidthPolicy


@dataclass(frozen=True, kw_only=True)
class Round:
    """The list, made once."""

    variant: str
    videos: int
    seconds: float
    busy_fraction: float
    """Of the workers' time from the first submission to the last video."""
    formed: int
    """Gangs."""
    widened: int
    """Running videos moved to a wider gang."""
    spans: tuple[Span, ...]
    looks: tuple[Look, ...]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a variant's rounds come to; medians."""

    name: str
    videos: int
    """Made in each."""
    seconds: float
    all_seconds: tuple[float, ...]
    """In the order they were made."""
    ratio: float
    """How many times as long as auto."""
    busy_fraction: float
    formed: float
    widened: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every variant beside auto."""

    standings: tuple[Standing, ...]
    """In the order of their first rounds."""

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> "Comparison":
        """Of rounds among which are some of auto."""
        by_name: dict[str, list[Round]] = {}
        for turn in rounds:
            by_name.setdefault(turn.variant, []).append(turn)
        auto = statistics.median(turn.seconds for turn in by_name[AUTO])
        return cls(standings=tuple(_standing(own, auto) for own in by_name.values()))

    @property
    def best_fixed(self) -> Standing:
        """The fixed width that ends soonest."""
        return min((one for one in self.standings if one.name not in (AUTO, STAYING)), key=lambda one: one.seconds)

    @property
    def staying(self) -> Standing:
        """Auto without widening."""
        return next(one for one in self.standings if one.name == STAYING)

    @property
    def least_seconds(self) -> float:
        """What the videos alone take at the best fixed width, on workers that are never idle."""
        return self.best_fixed.busy_fraction * self.best_fixed.seconds


def variants_of(mix: Mix, calibration: Calibration) -> list[Variant]:
    """Every fixed width, auto without widening, and auto; they decide here, before anything is timed."""
    gangs = {str(width): GangConfig(width=width) for width in mix.fixed_widths()}
    gangs |= {STAYING: GangConfig(width="auto", widen=False), AUTO: GangConfig(width="auto")}
    policies = {
        name: replace(mix.policy, config=replace(mix.config, gang=gang), calibration=calibration, _decided={})
        for name, gang in gangs.items()
    }
    for policy in policies.values():
        mix.seconds(policy)
    return [Variant(name=name, policy=policy) for name, policy in policies.items()]


def run_rounds(mix: Mix, variants: Sequence[Variant], rounds: int, advance: Callable[[], None]) -> Iterator[Round]:
    """Make the list by every variant in turn, `rounds` times, every other time backwards; `advance` hears of videos."""
    cluster = mix.config.cluster
    with ray_session(cluster), PoolClient.connect(cluster.pool_spec(str(mix.config.model.folder))) as pool:
        pool.wait_ready(cluster.ready_limit_s)
        asyncio.run(_warm(pool, mix))
        for count in range(rounds):
            for variant in variants[::-1] if count % 2 else variants:
                yield asyncio.run(_Making(pool, mix, variant, advance).run())


def median_round(rounds: Sequence[Round], variant: str) -> Round:
    """The round of `variant` that took the (lower) median time."""
    own = [turn for turn in rounds if turn.variant == variant]
    middle = statistics.median_low(turn.seconds for turn in own)
    return next(turn for turn in own if turn.seconds == middle)


class _Making:
    """The list on its way through the pool, as a job would submit it."""

    def __init__(self, pool: PoolClient, mix: Mix, variant: Variant, advance: Callable[[], None]) -> None:
        self._pool = pool
        self._mix = mix
        self._variant = variant
        self._advance = advance
        self._slots = asyncio.Semaphore(mix.config.videos_in_flight)
        self._looks: list[Look] = []
        self._begun = 0.0

    async def run(self) -> Round:
        workers = self._mix.config.cluster.workers
        before = await asyncio.to_thread(self._pool.status)
        self._begun = time.perf_counter()
        watch = asyncio.ensure_future(self._watch())
        try:
            spans = await asyncio.gather(*(self._make(*numbered) for numbered in enumerate(self._mix.requests)))
        finally:
            seconds = self._now()
            watch.cancel()
        after = await asyncio.to_thread(self._pool.status)
        return Round(
            variant=self._variant.name,
            videos=len(spans),
            seconds=seconds,
            busy_fraction=(after.gang_busy_seconds - before.gang_busy_seconds) / (workers * seconds),
            formed=after.generation - before.generation,
            widened=after.widened - before.widened,
            spans=tuple(spans),
            looks=tuple(self._looks),
        )

    async def _make(self, number: int, request: VideoRequest) -> Span:
        config = self._mix.config
        async with self._slots:
            width, seconds = self._variant.policy.offer(request)
            submitted_s = self._now()
            made = await self._pool.submit(
                request,
                width=width,
                seconds=seconds,
                attempts=config.attempts,
                options=self._variant.policy.config.options,
            )
        self._advance()
        end_s = self._now()
        return Span(
            number=number,
            offered=width,
            width=made.width,
            start_s=submitted_s + made.queue_seconds,
            end_s=end_s,
            moved_s=end_s - made.report.seconds if made.report.first_step else None,
        )

    async def _watch(self) -> None:
        while True:
            status: PoolStatus = await asyncio.to_thread(self._pool.status)
            busy = tuple(width for width, at_work in status.gangs if at_work)
            self._looks.append(Look(at_s=self._now(), busy=busy))
            await asyncio.sleep(LOOK_EVERY_S)

    def _now(self) -> float:
        return time.perf_counter() - self._begun


def _standing(own: Sequence[Round], auto_s: float) -> Standing:
    seconds = statistics.median(turn.seconds for turn in own)
    return Standing(
        name=own[0].variant,
        videos=min(turn.videos for turn in own),
        seconds=seconds,
        all_seconds=tuple(turn.seconds for turn in own),
        ratio=seconds / auto_s,
        busy_fraction=statistics.median(turn.busy_fraction for turn in own),
        formed=statistics.median(turn.formed for turn in own),
        widened=statistics.median(turn.widened for turn in own),
    )


async def _warm(pool: PoolClient, mix: Mix) -> None:
    """Every worker makes something of every shape at every width, so that no variant is the first to."""
    firsts = {request.shape: replace(request, steps=_WARM_STEPS) for request in mix.requests}
    workers = mix.config.cluster.workers
    for width in mix.fixed_widths():
        for request in firsts.values():
            await asyncio.gather(*(pool.submit(request, width=width) for _ in range(workers // width)))
