"""A pool that compiles is warm before its first lease, and leaves what it compiled for others."""

from pathlib import Path

import numpy as np
import pytest

from actors.engine import RunOptions
from actors.pool_client import PoolClient
from actors.spec import Expected, PoolSpec
from cluster.pab import PabConfig
from tests.actors.conftest import MakeRequest

PAB = PabConfig(spatial=2, temporal=2, cross=2, timesteps=(100, 900))


def test_drivers_that_expect_other_requests_share_a_pool(make_request: MakeRequest) -> None:
    expected = Expected(request=make_request(), options=RunOptions(), width=1)
    one, other = PoolSpec(model="m", workers=1), PoolSpec(model="m", workers=1, expected=expected)
    assert one == other
    assert one.differences(other) == ""
    assert "compile_cache" in one.differences(PoolSpec(model="m", workers=1, compile_cache="/c"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_is_compiled_before_its_first_video_and_the_next_one_finds_what_it_left(
    ray_session: None, tiny_model: Path, make_request: MakeRequest, tmp_path: Path
) -> None:
    request, options = make_request(height=32, width=32, pab=PAB), RunOptions(return_latents=True)
    spec = PoolSpec(
        model=str(tiny_model),
        workers=1,
        device="cpu",
        threads_per_worker=1,
        compile=True,
        compile_cache=str(tmp_path / "cache"),
        expected=Expected(request=request, options=options, width=1),
    )
    plain = PoolSpec(model=str(tiny_model), workers=1, device="cpu", threads_per_worker=1)
    results, left = [], []
    for name, each in (("warm-1", spec), ("warm-2", spec), ("plain", plain)):
        with PoolClient.connect(each, name=name) as pool:
            pool.wait_ready(600)
            left.append(code(tmp_path / "cache"))
            results.append(pool.submit_sync(request, options=options))
    # All code was there before the first video, and the second worker made none.
    assert len(left[0]) > 0
    assert code(tmp_path / "cache") == left[0] == left[1]
    assert results[0].report.graphs == results[1].report.graphs > 1
    assert results[2].report.graphs == 0
    for result in results[:2]:
        assert result.latents is not None
        assert results[2].latents is not None
        assert np.abs(result.latents - results[2].latents).max() <= 1e-4 * results[2].latents.std()


def code(folder: Path) -> dict[str, float]:
    """Libraries that the compiler made, and when."""
    return {file.name: file.stat().st_mtime for file in folder.rglob("*.so")}
