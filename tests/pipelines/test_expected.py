"""What a job's workers are told to compile for."""

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


def test_a_job_that_does_not_compile_expects_nothing(checked) -> None:
    job = checked()
    assert expected_of(job, widths(job)) is None
