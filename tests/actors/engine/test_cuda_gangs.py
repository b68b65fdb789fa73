"""Two ranks on one GPU, by gloo with CUDA tensors, and on two, by NCCL, against one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from actors.engine import Engine, RunOptions, VideoRequest
from cluster.pab import PabConfig
from tests.actors.engine.gang import Case, run_gangs
from tests.tiny_joint_models import save_tiny_wan

PAB = PabConfig(spatial=2, temporal=4, cross=6, timesteps=(100, 800))
OPTIONS = RunOptions(return_latents=True)


def request(height: int, width: int, frames: int) -> VideoRequest:
    return VideoRequest(
        prompt="a red circle moving left over a black background",
        seed=7,
        height=height,
        width=width,
        num_frames=frames,
        steps=20,
        guidance_scale=4.0,
        model="demo",
        model_revision="test",
        pab=PAB,
    )


@pytest.mark.gpu
@pytest.mark.parametrize(("backend", "compiled"), [("gloo", False), ("nccl", False), ("nccl", True)])
@pytest.mark.parametrize("family", ["latte", "wan"])
def test_two_ranks_make_what_one_makes(
    family: str, backend: str, compiled: bool, demo_model: Path, tmp_path: Path
) -> None:
    if backend == "nccl" and torch.cuda.device_count() < 2:
        pytest.skip("NCCL wants a GPU for each rank, and there is one")
    model = demo_model if family == "latte" else save_tiny_wan(tmp_path / "wan")
    asked = request(64, 96, 16) if family == "latte" else request(32, 48, 9)
    case = Case("two", 2, asked, OPTIONS)
    where = {"device": "cuda", "dtype": "bfloat16", "backend": backend}
    found = run_gangs(model, [case], tmp_path, processes=2, compiled=compiled, **where)["two"]
    alone = Engine.load(str(model), device="cuda", dtype="bfloat16").generate(asked, options=OPTIONS).latents
    assert np.linalg.norm(found["latents"] - alone) <= 2e-2 * np.linalg.norm(alone)
    assert np.isfinite(alone).all()
