"""One mixed list of videos, for `pabcast bench elastic`."""

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.engine.demo.vocabulary import BACKGROUNDS, COLOURS, DIRECTIONS, KINDS
from actors.engine.request import VideoRequest
from cluster.calibration import Calibration
from cluster.errors import ClusterError, ConfigError, RequestError
from cluster.shape import Shape
from pipelines.config import JobConfig, make_config
from pipelines.gpus import load_calibration
from pipelines.models import find_model, read_card
from pipelines.places import ROOT
from pipelines.rows import BadRow, RowDefaults, read_row
from pipelines.width_policy import Kindred, WidthPolicy


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
        # One way to run guidance whatever chooses the widths, or the comparison would be of both.
        rest = {"gang": {"width": "auto"}, "engine": {"guidance": "batched"}}
        config = make_config({**values, "input": {"path": "-"}, "output": {"uri": "-"}, **rest})
        card = read_card(find_model(config.model.id))
        defaults = RowDefaults.of(config, card.numbers, card.revision)
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
