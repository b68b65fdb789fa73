"""What a job's workers are told to compile for."""

import dataclasses
from pathlib import Path

import pytest

from pipelines.config import load_config
from pipelines.expected import expected_of
from pipelines.job_check import CheckedJob, check_job
from pipelines.places import ROOT
from pipelines.width_policy import WidthPolicy


@pytest.fixture
def checked(tmp_path: Path):
    """Builds a checked job of the bundled model; the arguments override its config."""
    (tmp_path / "p.txt").write_text("a cat\n")

    def make(*overrides: str) -> CheckedJob:
        fixed = [f"input.path={tmp_path}/p.txt", f"output.uri={tmp_path}/out", "sampling.height=96", "pab=pab246"]
        return check_job(load_config(str(ROOT / "configs/demo.yaml"), [*fixed, *overrides]))

    return make


def widths(job: CheckedJob) -> WidthPolicy:
    return WidthPolicy.of(job.config, job.card.numbers, job.config.cluster.widest_of_a_job)


def test_a_job_that_compiles_expects_videos_as_its_sampling_has_them(checked) -> None:
    job = checked("cluster.compile=true", "gang.width=2", "engine.guidance=split")
    expected = expected_of(job, widths(job))
    assert expected is not None
    assert (expected.width, expected.options.guidance) == (2, "split")
    sampling = job.config.sampling
    assert (expected.request.height, expected.request.steps) == (96, sampling.steps)
    assert expected.request.pab == job.config.pab


def test_what_no_gang_can_make_is_not_expected(checked) -> None:
    job = checked("cluster.compile=true", "gang.width=auto", "gang.table=[]")
    policy = widths(job)
    assert expected_of(job, policy) is not None
    tight = dataclasses.replace(policy.gpu, memory_gb=1e-3)
    assert expected_of(job, dataclasses.replace(policy, gpu=tight, _decided={})) is None


def test_a_pool_keeps_what_it_compiles_where_the_user_means(checked, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folders = [
        checked(f"cluster.compile_cache={folder}").config.cluster.pool_spec("m").compile_cache
        for folder in ("null", "cache", "~/cache")
    ]
    assert folders == [None, str(tmp_path / "cache"), str(tmp_path / "home/cache")]


def test_workers_that_compile_are_waited_for_longer(checked) -> None:
    limits = [
        checked(*overrides).config.cluster.ready_limit_s
        for overrides in ((), ("cluster.compile=true",), ("cluster.compile=true", "cluster.ready_timeout_s=9"))
    ]
    assert limits == [600, 1800, 9]
