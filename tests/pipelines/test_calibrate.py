"""`pabcast bench calibrate` on the machine at hand; how exact it is, is for the benchmark to print."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.app import app
from pipelines.gpus import load_calibration


@pytest.mark.slow
def test_a_calibration_is_kept_and_its_checks_of_one_worker_and_of_a_gang_are_told(tmp_path: Path) -> None:
    file = tmp_path / "cpu.json"
    words = [
        "bench",
        "calibrate",
        "--shapes",
        "64x64/4,64x64",
        "--checks",
        "64x64,64x64/2",
        "--steps",
        "2",
        "--rounds",
        "1",
    ]
    result = CliRunner().invoke(app, [*words, "--out", str(file), "--json"])
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    kept = load_calibration(str(file))
    assert kept.measured
    assert kept.base.per_projection_s + kept.base.per_core_s + kept.base.per_element_s > 0
    assert kept.link_bytes_per_s > 0
    told = [(check["width"], check["pab"].split(",")[0]) for check in said["checks"]]
    assert told == [(1, "off"), (1, "spatial=2"), (2, "off"), (2, "spatial=2")]
    assert all(check["predicted_s"] > 0 and check["measured_s"] > 0 for check in said["checks"])
    # A gang of two has half of the work, and what it sends; so coarse a bound holds however busy the machine is.
    alone, _, shared, _ = (check["predicted_s"] for check in said["checks"])
    assert 0.4 * alone < shared


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--shapes", "64"], "'64' is no shape"),
        (["--checks", "64x96/2", "--device", "cuda"], "gangs are checked on the CPU only"),
        (["--checks", "64x96/0"], "a gang of 0 cannot share"),
        (["--checks", "64x96/17"], "--checks: a gang of 17 cannot share 64x96x16; its legal widths are 1 to 16"),
        (["--shapes", "65x64"], "--shapes: "),
        (["--shapes", "６４x64"], "--shapes: '６４x64' is no shape"),
        (["--shapes", "64x64,"], "--shapes: '' is no shape"),
        (["--steps", "0"], "--steps is 0; it must be from 1 to 1000"),
        (["--steps", "1001"], "--steps is 1001; it must be from 1 to 1000"),
        (["--rounds", "0"], "--rounds is 0; it must be from 1 to 1000"),
        (["--threads", "0"], "--threads is 0; it must be from 1 to 1024"),
        (["--threads", "100000000000"], "--threads is 100000000000; it must be from 1 to 1024"),
        (["--device", "tpu"], "--device is 'tpu'"),
        (["--dtype", "float64"], "--dtype is 'float64'"),
        (["--out", "/proc/none/c.json"], "/proc/none"),
        (["--gpu", "h20"], "the nearest known one is h200"),
        (["--random-weights"], "has none for demo"),
        (["--model", "open-sora-1.2", "--random-weights"], "makes a latte only, and open-sora-1.2 is of the family"),
        (["--model", "cogvideox-2b"], "the gangs of cogvideox-2b share out tokens"),
        (["--model", "wan-2.1-1.3b"], "families latte, open-sora and open-sora-plan can be calibrated"),
    ],
)
def test_what_cannot_be_measured_is_told(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["bench", "calibrate", *words])
    assert sentence in str(result.exception)
