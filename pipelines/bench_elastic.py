"""One mixed list of videos, made by gangs of each fixed width and by `gang.width=auto`, on the same workers."""

import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.engine.demo.vocabulary import BACKGROUNDS, COLOURS, DIRECTIONS, KINDS
from actors.engine.request import VideoRequest
from actors.pool_client import PoolClient
from actors.status import PoolStatus
from cluster.calibration import Calibration
from cluster.errors import ClusterError, ConfigError, RequestError
from cluster.shape import Shape
from pipelines.config import JobConfig, make_config
from pipelines.gang_picture import Look, Span
from pipelines.gpus import load_calibration
from pipelines.models import find_model, read_card
from pipelines.places import ROOT
from pipelines.ray_session import ray_session
from pipelines.rows import BadRow, RowDefaults, read_row
from pipelines.width_policy import Kindred, WidthPolicy
from pipelines.widths import GangConfig

AUTO, STAYING = "auto", "auto, not widened"
LOOK_EVERY_S = 0.1
_WARM_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The job that every variant makes."""

    config: JobConfig
    """All but its `gang`, which is the variant's."""
    policy: WidthPolicy
    """Of `gang.width=auto`, by the rates of the config's file, or by assumed ones."""
    requests: tuple[VideoRequest, ...]
    """Shapes take turns; the last ones may be large."""

    @classmethod
    def build(cls, values: Mapping[str, object], sizes: Sequence[tuple[int, int]], videos: int) -> "Mix":
        """A mix of so many videos of `sizes`, each (width, height); `values` are a job's without input and output.

        Raises:
            ConfigError: nothing to make, a size that the model cannot make, or one that no gang can hold.
        """
        if videos < 1:
            raise ConfigError(f"--videos is {videos}; it must be 1 or more")
        config = make_config({**values, "input": {"path": "-"}, "output": {"uri": "-"}, "gang": {"width": "auto"}})
        card = read_card(find_model(config.model.id))
        defaults = RowDefaults(
            sampling=config.sampling,
            model=config.model.id,
            model_revision=card.revision,
            pab=config.pab,
            numbers=card.numbers,
            gang=config.gang,
        )
        turns = zip(range(videos), itertools.cycle(sizes), strict=False)
        requests = tuple(_request(number, size, defaults) for number, size in turns)
        policy = WidthPolicy.of(config, card.numbers, config.cluster.widest_gang)
        return cls(config=config, policy=policy, requests=requests)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """In the order they first come."""
        return tuple(dict.fromkeys(request.shape for request in self.requests))

    def seconds(self, policy: WidthPolicy) -> dict[Shape, Mapping[int, float]]:
        """Predicted by `policy`, at every width that a video of each shape may have."""
        try:
            return {request.shape: policy.decide(Kindred.of(request))[1].seconds for request in self.requests}
        except RequestError as error:
            raise ConfigError(str(error)) from error

    def fixed_widths(self) -> tuple[int, ...]:
        """The widths that divide the pool and that every video may have; `ConfigError` if there are none."""
        workers = self.config.cluster.workers
        fitting = set.intersection(*(set(seconds) for seconds in self.seconds(self.policy).values()))
        widths = tuple(sorted(width for width in fitting if workers % width == 0))
        if not widths:
            raise ConfigError(
                f"no width that divides {workers} workers fits {', '.join(str(shape) for shape in self.shapes)} "
                "alike; use sizes that are closer to one another"
            )
        return widths

    def measure(self) -> Calibration:
        """This machine's rates at every shape and fixed width; `pabcast bench calibrate` measures them."""
        widths = self.fixed_widths()
        shapes = ",".join(f"{shape.width}x{shape.height}/{width}" for shape in self.shapes for width in widths)
        threads = str(self.config.cluster.threads_per_worker or 1)
        with TemporaryDirectory(prefix="pabcast-") as folder:
            file = str(Path(folder) / "rates.json")
            # A process of its own: torch's threads and a loaded model are no company for what is measured next.
            command = [sys.executable, "-m", "pipelines.cli", "bench", "calibrate", "--model", self.config.model.id]
            command += ["--shapes", shapes, "--checks", "", "--threads", threads, "--out", file]
            paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TQDM_DISABLE": "1"}
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if ended.returncode:
                last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise ClusterError(f"the rates could not be measured: {last}")
            return load_calibration(file)


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


def run_rounds(mix: Mix, variants: Sequence[Variant], rounds: int, advance: Callable[[], None]) -> list[Round]:
    """Make the list by every variant in turn, `rounds` times, every other time backwards; `advance` hears of videos."""
    cluster = mix.config.cluster
    with ray_session(cluster), PoolClient.connect(cluster.pool_spec(str(mix.config.model.folder))) as pool:
        pool.wait_ready(cluster.ready_timeout_s)
        asyncio.run(_warm(pool, mix))
        turns = [turn for count in range(rounds) for turn in (variants[::-1] if count % 2 else variants)]
        return [asyncio.run(_Making(pool, mix, variant, advance).run()) for variant in turns]


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
                request, width=width, seconds=seconds, attempts=config.attempts, options=config.engine.options
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


def _request(number: int, size: tuple[int, int], defaults: RowDefaults) -> VideoRequest:
    prompt = (
        f"a {_nth(COLOURS, number)} {_nth(KINDS, number)} moving {_nth(DIRECTIONS, number // len(KINDS))} "
        f"over a {_nth(BACKGROUNDS, number)} background"
    )
    row = {"prompt": prompt, "width": size[0], "height": size[1], "seed": number}
    requests = read_row(row, f"video {number}", defaults)
    if isinstance(requests, BadRow):
        raise ConfigError(f"--shapes {size[0]}x{size[1]}: {requests.reason}")
    return requests[0]


def _nth(words: Sequence[str] | Mapping[str, object], number: int) -> str:
    known = list(words)
    return known[number % len(known)]
