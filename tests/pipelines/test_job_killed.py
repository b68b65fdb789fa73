"""A job whose driver is interrupted or killed: nothing is lost, made twice or left running."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.orphans import processes_of
from pipelines.places import ROOT

ROWS = 10
Start = Callable[..., "subprocess.Popen[str]"]


def listening(process: "subprocess.Popen[str]") -> bool:
    """Whether it takes SIGTERM for itself by now."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


def has_begun(process: "subprocess.Popen[str]") -> bool:
    """Whether its Ray is starting."""
    return bool(processes_of(process.pid))


@pytest.fixture
def start(tmp_path: Path, tiny_model: Path) -> Iterator[Start]:
    """Starts the same job again and again in a process of its own; what still runs at the end is killed."""
    prompts = "".join(json.dumps({"prompt": f"a cat number {number}"}) + "\n" for number in range(ROWS))
    (tmp_path / "p.jsonl").write_text(prompts)
    started: list[subprocess.Popen[str]] = []

    def run(steps: int) -> "subprocess.Popen[str]":
        command = [
            *(sys.executable, "-m", "pipelines.cli", "run", str(ROOT / "configs/demo.yaml"), "--json"),
            *(f"model={tiny_model}", f"input.path={tmp_path}/p.jsonl", f"output.uri={tmp_path}/out"),
            *(f"sampling.steps={steps}", "sampling.height=32", "sampling.width=32", "pab=off"),
            # One worker a video, so that two are on their way when the driver dies.
            "gang.width=1",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(
            subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def commits(folder: Path) -> dict[str, float]:
    return {file.stem: file.stat().st_mtime for file in (folder / "out/_pabcast/commits").rglob("*.json")}


def videos(folder: Path) -> dict[str, float]:
    return {file.name: file.stat().st_mtime for file in (folder / "out/videos").rglob("*.mp4")}


def wait_for_commits(folder: Path, count: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 150
    while len(commits(folder)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the job made no progress"
        time.sleep(0.05)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_that_is_killed_three_times_makes_every_video_once(start: Start, tmp_path: Path) -> None:
    killed = []
    seen: dict[str, float] = {}
    for time_round in range(3):
        process = start(steps=100)
        wait_for_commits(tmp_path, 2 * (time_round + 1), process)
        process.kill()
        process.wait()
        killed.append(process.pid)
        # What was committed before is as it was.
        assert seen.items() <= commits(tmp_path).items()
        seen = commits(tmp_path)
    committed_videos = {name: at for name, at in videos(tmp_path).items() if name.split("-")[0] in seen}
    process = start(steps=100)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["requested"] == ROWS
    # An upload that was under way may have been committed by its process, which outlives the driver by a moment.
    assert summary["skipped"] >= len(seen)
    assert summary["skipped"] + summary["committed"] == ROWS
    assert seen.items() <= commits(tmp_path).items()
    assert committed_videos.items() <= videos(tmp_path).items()
    rows = pq.read_table(tmp_path / "out/metadata.parquet", columns=["prompt"])["prompt"].to_pylist()
    assert Counter(rows) == Counter(f"a cat number {number}" for number in range(ROWS))
    assert len(commits(tmp_path)) == ROWS
    assert [left for driver in [*killed, process.pid] for left in processes_of(driver)] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_job_stops_and_keeps_what_is_made(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    process = start(steps=100)
    wait_for_commits(tmp_path, 1, process)
    process.send_signal(number)
    begun = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 40
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "stopping; what is committed stays" in err
    summary = json.loads(out.splitlines()[-1])
    assert 1 <= summary["committed"] < ROWS
    assert summary["open"] == summary["requested"] - summary["committed"]
    assert pq.read_table(tmp_path / "out/metadata.parquet").num_rows == len(commits(tmp_path)) == summary["rows"]
    assert processes_of(process.pid) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("raylet", r"Ray has lost its raylet \(pid \d+\)"),
        ("gcs_server", r"Ray has lost its gcs_server \(pid \d+\)"),
        ("ray::Desk", r"the job's desk is gone"),
    ],
)
def test_a_job_whose_ray_dies_says_so_and_keeps_what_is_made(
    start: Start, tmp_path: Path, name: str, sentence: str
) -> None:
    process = start(steps=100)
    wait_for_commits(tmp_path, 1, process)
    for its in processes_of(process.pid):
        if its.name() == name:
            its.kill()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    pattern = rf"error: {sentence}.*; \d+ videos are committed; run the same command again to go on"
    assert re.fullmatch(pattern, err.splitlines()[-1])
    assert "Traceback" not in err
    assert pq.read_table(tmp_path / "out/metadata.parquet").num_rows == len(commits(tmp_path)) > 0
    assert processes_of(process.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", [listening, has_begun])
@pytest.mark.parametrize("times", [1, 2])
def test_a_job_that_is_stopped_while_it_starts_ends_soon_and_says_one_line(
    start: Start, number: signal.Signals, when: Callable[["subprocess.Popen[str]"], bool], times: int
) -> None:
    process = start(steps=100)
    while not when(process):
        assert process.poll() is None
        time.sleep(0.01)
    begun = time.monotonic()
    for _ in range(times):
        if process.poll() is None:
            process.send_signal(number)
            time.sleep(0.03)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 15
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    if times == 1:
        assert err.splitlines()[-1] == "stopped; what is committed stays"
    assert processes_of(process.pid) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_whose_every_process_is_told_to_end_does_so_soon(start: Start, tmp_path: Path) -> None:
    process = start(steps=100)
    wait_for_commits(tmp_path, 1, process)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert json.loads(out.splitlines()[-1])["rows"] == len(commits(tmp_path))
    assert processes_of(process.pid) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_second_run_starts_no_worker_and_ends_soon(start: Start, tmp_path: Path) -> None:
    first = start(steps=1)
    out, err = first.communicate(timeout=200)
    assert first.returncode == 0, err
    before = commits(tmp_path)
    begun = time.monotonic()
    second = start(steps=1)
    out, err = second.communicate(timeout=200)
    assert second.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["skipped"] == ROWS
    assert commits(tmp_path) == before
    assert time.monotonic() - begun < 30


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_video_whose_worker_dies_is_tried_again(start: Start, tmp_path: Path) -> None:
    process = start(steps=100)
    wait_for_commits(tmp_path, 1, process)
    workers = [its for its in processes_of(process.pid) if its.name().startswith("ray::Worker")]
    assert len(workers) == 2
    workers[0].kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert (summary["committed"], summary["failed"]) == (ROWS, 0)
    assert len(commits(tmp_path)) == len(videos(tmp_path)) == ROWS
