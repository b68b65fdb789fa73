"""`pabcast bench calibrate` on the machine at hand; how exact it is, is for the benchmark to print."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.app import app
from pipelines.gpus import load_calibration


@pytest.mark.slow
def test_a_calibration_is_kept_and_its_checks_are_told(tmp_path: Path) -> None:
    file = tmp_path / "cpu.json"
    words = ["bench", "calibrate", "--shapes", "64x64/4,64x64", "--checks", "64x64", "--steps", "2", "--out", str(file)]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    kept = load_calibration(str(file))
    assert kept.measured
    assert kept.base.per_projection_s + kept.base.per_core_s + kept.base.per_element_s > 0
    assert kept.link_bytes_per_s > 0
    assert [check["pab"].split(",")[0] for check in said["checks"]] == ["off", "spatial=2"]
    assert all(check["predicted_s"] > 0 and check["measured_s"] > 0 for check in said["checks"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--shapes", "64"], "'64' is no shape"),
        (["--gpu", "h20"], "the nearest known one is h200"),
        (["--random-weights"], "has none for demo"),
    ],
)
def test_what_cannot_be_measured_is_told(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", "calibrate", *words])
    assert sentence in str(result.exception)
