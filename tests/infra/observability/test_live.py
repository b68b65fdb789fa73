"""The dashboard's queries and the rules, by a Prometheus that scraped a job and an endpoint on one cluster."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from PIL import Image

from infra.observability import render
from pipelines.places import ROOT
from tests.infra.observability.prometheus import config_of, prometheus
from tests.pipelines.serving.endpoint import Endpoint, running
from tests.ray_head import NO_TOKEN, RayHead, ray_head

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed"),
]

BOARD = json.loads(render.DASHBOARD.read_text())
PANELS = render.panels_of(BOARD)
QUICK_EXPORT = {"RAY_metrics_report_interval_ms": "1000"}
STEPS = 12
POOL = ("cluster.workers=2", "cluster.budget_gpu_hours=1")
"""Of the endpoint and the job alike: they share it."""
SCRAPED_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Scraped:
    """What there is to be asked, of which time."""

    url: str
    begun: float
    ended: float

    @property
    def prometheus(self) -> render.Prometheus:
        return render.Prometheus(self.url)

    def one(self, query: str) -> float:
        """The only value of `query` at the end."""
        (sample,) = self.prometheus.instant(query, self.ended)
        return float(sample["value"][1])


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """A job that loses a rank, beside an endpoint that makes, refuses and forgets videos, on two workers."""
    folder = tmp_path_factory.mktemp("live")
    with (
        ray_head(4, dashboard=True, variables={**NO_TOKEN, **QUICK_EXPORT}) as head,
        running_beside(head, folder) as (endpoint, url),
    ):
        wait_for(url, "count(ray_pabcast_serve_requests_total{status='200'})", 2)
        begun = time.time()
        job = start_job(folder, head)
        try:
            use(endpoint)
            wait_for_commits(folder, 4, job)
            kill_a_rank(head)
            err = job.communicate(timeout=500)[1]
        finally:
            job.kill()
            job.wait()
        assert job.returncode == 0, err
        lose_the_store(endpoint)
        wait_for(url, "sum(ALERTS{alertname='PabcastStoreErrors', alertstate='firing'})", 1)
        ended = wait_for(url, "sum(ray_pabcast_videos_total{outcome='done'})", 13)
        yield Scraped(url=url, begun=begun, ended=ended)


@contextmanager
def running_beside(head: RayHead, folder: Path) -> Iterator[tuple[Endpoint, str]]:
    """An endpoint on the cluster, and the URL of the Prometheus that watches both."""
    overrides = (f"cluster.address={head.address}", *POOL, "http.replicas=2", "limits.queue=2")
    with (
        running(folder, *overrides, environment=NO_TOKEN) as endpoint,
        prometheus(folder, config_of(head, f"127.0.0.1:{endpoint.port}", folder)) as url,
    ):
        yield endpoint, url


def wait_for(url: str, query: str, least: float) -> float:
    """When Prometheus knew as much: that time."""
    deadline = time.monotonic() + SCRAPED_S
    while True:
        time.sleep(1)
        now = time.time()
        found = render.Prometheus(url).instant(query, now)
        if found and float(found[0]["value"][1]) >= least:
            return now
        assert time.monotonic() < deadline, found


def start_job(folder: Path, head: RayHead) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pipelines.cli", "run", "configs/demo.yaml", "--json", f"sampling.steps={STEPS}"]
    command += [f"cluster.address={head.address}", *POOL, f"output.uri={folder}/out"]
    return subprocess.Popen(command, cwd=ROOT, env=NO_TOKEN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def use(endpoint: Endpoint) -> None:
    """Have videos made, one refused as there is no room and one as it is none, and forget one while it is made."""
    client = endpoint.client()
    made = client.videos.create(prompt="a red circle", extra_body={"num_inference_steps": STEPS})
    forgotten = client.videos.create(prompt="a blue circle", extra_body={"num_inference_steps": 1000})
    with pytest.raises(openai.RateLimitError):
        client.videos.create(prompt="a green circle")
    client.videos.delete(forgotten.id)
    with pytest.raises(openai.BadRequestError):
        client.videos.create(prompt="a green circle", size="7x7")
    while client.videos.retrieve(made.id).status != "completed":
        time.sleep(0.2)


def lose_the_store(endpoint: Endpoint) -> None:
    """Ask for something while the store cannot be read."""
    jobs, aside = endpoint.store / "jobs", endpoint.store / "aside"
    jobs.rename(aside)
    jobs.symlink_to(jobs)
    try:
        assert endpoint.get("/v1/videos")[0] == 503
    finally:
        jobs.unlink()
        aside.rename(jobs)


def wait_for_commits(folder: Path, count: int, job: "subprocess.Popen[str]") -> None:
    while len(list((folder / "out/_pabcast/commits").rglob("*.json"))) < count:
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.1)


def kill_a_rank(head: RayHead) -> None:
    children = psutil.Process(head.pid).children(recursive=True)
    busy = next(child for child in children if child.name().startswith("ray::Worker"))
    busy.kill()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_query_of_a_panel_has_an_answer_with_numbers(scraped: Scraped, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        found = series(scraped, {**panel, "targets": [target]})
        assert found, target["expr"]
        numbers = [value for line in found for value in line.values if value == value]
        assert numbers, target["expr"]
        assert all("{{" not in line.legend for line in found)


def series(scraped: Scraped, panel: render.Panel) -> list[render.Series]:
    variables = render.variables_of(BOARD, window="1m")
    return render.series_of(scraped.prometheus, panel, variables, (scraped.begun, scraped.ended))


def test_it_shows_what_happened(scraped: Scraped) -> None:
    lines = {
        (panel["title"], line.legend): max(value for value in line.values if value == value)
        for panel in PANELS
        for line in series(scraped, panel)
        if any(value == value for value in line.values)
    }
    assert scraped.one('sum(ray_pabcast_retries_total{cause="rank"})') == 1
    assert lines["Videos tried again, by cause", "rank"] >= 1
    assert {legend for title, legend in lines if title == "Gangs busy, by width"} == {
        "1 wide, busy",
        "2 wide, busy",
        "idle, of any width",
    }
    assert lines["Regrouping", "reshapes"] >= 1
    resolutions = {legend.partition(",")[0] for title, legend in lines if title == "Seconds a video, by resolution"}
    assert resolutions == {"64p", "128p"}
    assert lines["Bytes sent and saved, by width", "2 wide, saved"] > 0
    assert (
        lines["Share of steps that broadcast, by kind", "cross"]
        > lines["Share of steps that broadcast, by kind", "spatial"]
    )
    assert lines["Worker-hours spent, and the budget", "budget"] == 1
    assert scraped.one('sum(pabcast_serve_ended_total{result="deleted"})') == 1
    assert scraped.one('sum(ray_pabcast_serve_requests_total{status="429"})') == 1
    assert scraped.one('sum(ray_pabcast_serve_requests_total{route="POST /v1/videos", status="400"})') == 1


def test_an_alert_fires_for_the_store_that_was_away_and_none_for_a_lost_rank(scraped: Scraped) -> None:
    assert scraped.one("sum(session:pabcast_workers_loaded:sum)") == 2
    assert scraped.one("count(session:pabcast_serve_requests:rate5m)") > 0
    firing = scraped.prometheus.instant('max_over_time(ALERTS{alertstate="firing"}[10m])', scraped.ended)
    assert [sample["metric"]["alertname"] for sample in firing] == ["PabcastStoreErrors"]


def test_the_panels_are_drawn(scraped: Scraped, tmp_path: Path) -> None:
    out = tmp_path / "dashboard.png"
    minutes = (time.time() - scraped.begun) / 60
    command = [sys.executable, "infra/observability/render.py", scraped.url, f"--minutes={minutes}", "--set=window=1m"]
    done = subprocess.run([*command, f"--out={out}"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    picture = Image.open(out)
    assert picture.width > 1000
    assert picture.height > 1000
    colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or []}
    assert len(colours) > 30, "lines of many colours"
    assert out.stat().st_size < 300_000
