"""A soak: a job goes on while its ranks, nodes and pool are killed at random, and its videos are none the worse.

    RAY_AUTH_MODE=disabled python -m tests.pipelines.soak --videos 100 --kills 40 --seed 1 --steps 40 MODEL OUT

A cluster of its own on this machine: a head without CPUs, where the driver and the pool live, and three nodes that
hold a domain each, two of which the job has. The job is made once undisturbed and once more, into another folder,
under fire; then both datasets must have the same bytes and nothing may be left. Faults strike at commits drawn at
random, a few seconds later at most, whether or not the last one has been got over. Both runs and what they say stay
in OUT, where another seed finds the undisturbed one again.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import ray

from actors.pool_client import NAMESPACE, POOL_NAME, PoolClient
from actors.status import PoolStatus
from cluster.errors import ClusterError
from pipelines.places import ROOT
from tests.pipelines.soak_cluster import SoakCluster

WIDTH = 2
"""Of every gang: videos of one width are the same to the bit."""
DOMAINS = 2
SPARE = 1
"""Workers of a domain that no gang can have: they are there to die idle."""
ATTEMPTS = 8
"""More than a job's usual: a random killer may strike one video three times before its first snapshot, which looks like
a prompt that kills its ranks."""
KINDS = {"rank": 9, "idle": 5, "hang": 4, "pool": 5, "node": 5}
"""What strikes, and how often of 28: a busy rank, an idle worker and the pool's process are killed, a busy rank is
stopped, a node is lost with all its processes."""
LATEST_FAULT = 0.9
"""Of the videos committed; after that nothing strikes."""
LONGEST_DELAY_S = 6.0
NO_TARGET_S = 120.0
STILL_TIMEOUT_S = 600.0
"""Without a commit."""
JOB_TIMEOUT_S = 3600.0
LEFT_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What strikes and when."""

    kind: str
    commits: int
    """It waits for so many,"""
    delay_s: float
    """and so long after that."""


@dataclass(kw_only=True)
class Report:
    """What a soak has found."""

    videos: int
    exit_code: int = -1
    commits: int = 0
    rows: int = 0
    files: int = 0
    failed: int = -1
    identical: int = 0
    """Videos with the same bytes in both runs."""
    kills: dict[str, int] = field(default_factory=dict)
    spoilt: list[str] = field(default_factory=list)
    """Faults that did not strike."""
    left: list[str] = field(default_factory=list)
    """What the job or the cluster left."""
    resumed: int = 0
    """Videos that went on from a snapshot, as far as the pools were asked before they died."""
    seconds: tuple[float, float] = (0.0, 0.0)
    """Undisturbed and disturbed."""
    busy_fraction: tuple[float, float] = (0.0, 0.0)
    domains: int = 0
    """The most that the pool was seen to have."""

    @property
    def is_good(self) -> bool:
        """Whether every video is there once, as it is when nothing dies, and nothing else is."""
        counts = {self.commits, self.rows, self.files, self.identical}
        wrong = self.exit_code or self.failed or self.spoilt or self.left or self.domains > DOMAINS
        return counts == {self.videos} and not wrong

    def compare(self, calm: "Job", fire: "Job") -> None:
        """Count what both runs have made."""
        shas = fire.shas()
        self.commits, self.rows, self.files = fire.commits(), len(shas), fire.files()
        self.failed = fire.said.get("failed", -1)
        self.identical = len(set(shas) & set(calm.shas()))
        self.seconds = (calm.said["seconds"], fire.said.get("seconds", 0.0))
        self.busy_fraction = (calm.said["gang_busy_fraction"], fire.said.get("gang_busy_fraction", 0.0))


def draw_faults(kills: int, videos: int, seed: int) -> list[Fault]:
    """Every kind at least once if there are enough."""
    dice = random.Random(seed)
    kinds = (list(KINDS) + dice.choices(list(KINDS), list(KINDS.values()), k=kills))[:kills]
    dice.shuffle(kinds)
    moments = sorted(dice.randrange(int(videos * LATEST_FAULT)) for _ in kinds)
    return [
        Fault(kind=kind, commits=moment, delay_s=dice.uniform(0, LONGEST_DELAY_S))
        for kind, moment in zip(kinds, moments, strict=True)
    ]


class Job:
    """One run of the job in a process of its own, with its dataset and what it says in the folder `out`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: SoakCluster, model: str, prompts: Path, steps: int) -> None:
        self.out.mkdir()
        command = [
            *(sys.executable, "-m", "pipelines.cli", "run", str(ROOT / "configs/demo.yaml"), "--json"),
            *(f"model={model}", f"input.path={prompts}", f"output.uri={self.out}/set", f"sampling.steps={steps}"),
            *("pab=pab246", f"gang.width={WIDTH}", "engine.snapshot_every=4", f"attempts={ATTEMPTS}"),
            *(f"cluster.address={cluster.address}", f"cluster.workers={DOMAINS * (WIDTH + SPARE)}"),
            *(f"cluster.domain_workers={WIDTH + SPARE}", "cluster.device=cpu", "cluster.threads_per_worker=1"),
            "cluster.step_timeout_s=10",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.out / "stdout").open("w") as said, (self.out / "stderr").open("w") as log:
            self._process = subprocess.Popen(command, cwd=self.out, env=environment, stdout=said, stderr=log)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def commits(self) -> int:
        return sum(1 for _ in (self.out / "set/_pabcast/commits").rglob("*.json"))

    def wait_for(self, commits: int, delay_s: float) -> None:
        """Wait for so many commits and so long after that, or for the job's end; one that stands still is ended."""
        seen, moved_s = self.commits(), time.monotonic()
        while self.runs and seen < commits:
            time.sleep(0.2)
            if (found := self.commits()) > seen:
                seen, moved_s = found, time.monotonic()
            if time.monotonic() - moved_s > STILL_TIMEOUT_S:
                self.stop()
        if self.runs:
            time.sleep(delay_s)

    def end(self) -> int:
        """Wait for it, and end it if it takes too long; its exit code."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(JOB_TIMEOUT_S)
        self.stop()
        return self._process.returncode

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def said(self) -> dict[str, Any]:
        """The JSON of a job that came to its end."""
        lines = (self.out / "stdout").read_text().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    def shas(self) -> list[tuple[str, str]]:
        """Prompt and hash of each row of the dataset."""
        path = self.out / "set/metadata.parquet"
        rows = pq.read_table(path, columns=["prompt", "sha256"]).to_pylist() if path.exists() else []
        return [(row["prompt"], row["sha256"]) for row in rows]

    def files(self) -> int:
        return sum(1 for _ in (self.out / "set/videos").rglob("*.mp4"))


class Striker:
    """Kills what a fault says."""

    def __init__(self, cluster: SoakCluster, job: Job, seed: int) -> None:
        self._cluster = cluster
        self._job = job
        self._dice = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.spoilt: list[str] = []
        self.domains = 0
        """The most that the pool was seen to have."""
        self.resumed: Counter[int] = Counter()
        """Videos that went on from a snapshot, by the process of the pool."""

    def strike(self, fault: Fault) -> None:
        """Wait for a fault's moment, then for a target, no longer than two minutes, and kill it."""
        self._job.wait_for(fault.commits, fault.delay_s)
        deadline = time.monotonic() + NO_TARGET_S
        while time.monotonic() < deadline and self._job.runs:
            hit = self._hit(fault.kind)
            if hit:
                self.kills[fault.kind] += 1
                say(f"{self.kills.total():3}. {fault.kind}: {hit}, at {self._job.commits()} commits")
                return
            time.sleep(0.1)
        why = "found no target" if self._job.runs else "came after the end of the job"
        self.spoilt.append(f"{fault.kind} at {fault.commits} commits {why}")

    def _hit(self, kind: str) -> str:
        """Strike; what was hit, or nothing."""
        try:
            status = PoolClient.attach(POOL_NAME, NAMESPACE).status(5)
        except (ClusterError, TimeoutError, ray.exceptions.RayError):
            return ""
        self.resumed[status.pid] = status.resumed
        self.domains = max(self.domains, len(status.domains))
        targets = list(_targets(kind, status))
        if not targets:
            return ""
        name, where, target = self._dice.choice(targets)
        done = {"node": self._cluster.lose, "hang": self._cluster.stop}.get(kind, self._cluster.kill)(target)
        return f"{name} {where} ({target})" if done else ""


def _targets(kind: str, status: PoolStatus) -> Iterator[tuple[str, str, int | str]]:
    """What a fault of this kind may hit."""
    if kind == "pool":
        yield "pool", status.phase, status.pid
        return
    for member in status.members:
        where = f"worker {member.index} of domain {member.domain}, {member.state},"
        if kind == "node" and member.node:
            yield "node of", where, member.node
        elif kind != "node" and member.pid and (member.state == "busy") == (kind != "idle"):
            yield "", where, member.pid


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def soak(model: str, out: Path, *, videos: int, kills: int, seed: int, steps: int) -> Report:
    """Make the job's videos with and without faults, and compare."""
    calm, fire = Job(out / f"undisturbed-{videos}x{steps}"), Job(out / f"seed-{seed}")
    report = Report(videos=videos)
    out.mkdir(parents=True, exist_ok=True)
    prompts = out / f"{videos}.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"cat {n}", "seed": n}) + "\n" for n in range(videos)))
    with SoakCluster(nodes=DOMAINS + 1, cpus=WIDTH + SPARE) as cluster:
        try:
            if not calm.out.exists():
                calm.start(cluster, model, prompts, steps)
                calm.end()
                report.left += [f"{what}, undisturbed" for what in cluster.left(LEFT_TIMEOUT_S)]
            if len(calm.shas()) != videos:
                raise RuntimeError(f"the undisturbed run did not make all videos; see {calm.out}/stderr")
            say(f"undisturbed: {videos} videos in {calm.said['seconds']:.0f} s")
            fire.start(cluster, model, prompts, steps)
            striker = Striker(cluster, fire, seed)
            for fault in draw_faults(kills, videos, seed):
                striker.strike(fault)
            report.exit_code = fire.end()
        finally:
            calm.stop()
            fire.stop()
        report.kills, report.spoilt = dict(striker.kills), striker.spoilt
        report.resumed, report.domains = striker.resumed.total(), striker.domains
        report.compare(calm, fire)
        report.left += cluster.left(LEFT_TIMEOUT_S)
    report.left += cluster.outlived()
    if report.is_good:
        cluster.remove_logs()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    how = {"videos": asked.videos, "kills": asked.kills, "seed": asked.seed, "steps": asked.steps}
    with redirect_stdout(io.StringIO()):  # Ray tells of every dead node there
        report = soak(str(asked.model.resolve()), asked.out.resolve(), **how)
    print(json.dumps({"good": report.is_good, **asdict(report)}))
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
