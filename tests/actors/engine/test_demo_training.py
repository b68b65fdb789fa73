"""The recipe of the demo model, a few steps of every phase."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actors.engine import Engine, VideoRequest, inspect_model


@pytest.mark.slow
def test_every_phase_trains_and_the_result_is_a_model_of_the_same_shape(demo_model: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "actors.engine.demo.train", "--smoke", "--out", str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result == json.loads((tmp_path / "evaluation.json").read_text())
    assert result["model_bytes"] < 24_000_000
    assert (tmp_path / "strip-64x64.png").is_file()
    made, bundled = inspect_model(str(tmp_path / "model")), inspect_model(str(demo_model))
    assert made.numbers == bundled.numbers
    assert made.revision != bundled.revision
    files = {file.relative_to(tmp_path / "model") for file in (tmp_path / "model").rglob("*") if file.is_file()}
    assert {file.suffix for file in files} <= {".json", ".safetensors"}
    request = VideoRequest(
        prompt="a red circle moving left over a navy background",
        height=64,
        width=64,
        num_frames=16,
        steps=2,
        guidance_scale=4.0,
        model=made.path,
        model_revision=made.revision,
    )
    assert Engine.load(made.path).generate(request).frames.shape == (16, 64, 64, 3)
