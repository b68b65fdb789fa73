"""One pool of three workers for all tests of actors that do not end it, and the videos its fresh workers made."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from actors.engine import RunOptions, VideoRequest
from actors.pool_client import PoolClient
from actors.spec import PoolSpec

MakeRequest = Callable[..., VideoRequest]


@pytest.fixture(scope="session")
def make_request(tiny_model: Path) -> MakeRequest:
    """Builds a small request; keywords override its fields."""

    def make(**fields: object) -> VideoRequest:
        base: dict[str, object] = {
            "prompt": "a red circle moves left",
            "seed": 1,
            "height": 64,
            "width": 64,
            "num_frames": 16,
            "steps": 4,
            "guidance_scale": 3.0,
            "model": str(tiny_model),
            "model_revision": "tiny",
        }
        return VideoRequest(**{**base, **fields})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def pool_spec(tiny_model: Path) -> PoolSpec:
    """What the shared pool is made of; a short step time-out, so that hung ranks are noticed soon."""
    return PoolSpec(model=str(tiny_model), workers=3, device="cpu", threads_per_worker=1, step_timeout_s=10)


@pytest.fixture(scope="package")
def pool(ray_session: None, pool_spec: PoolSpec) -> Iterator[PoolClient]:
    """The shared pool, ready."""
    with PoolClient.connect(pool_spec, name="shared") as client:
        client.wait_ready(120)
        yield client


@pytest.fixture(scope="package")
def fresh_latents(pool: PoolClient, make_request: MakeRequest) -> dict[int, npt.NDArray[np.float32]]:
    """Final latents of `make_request()` by gang width, made before anything went wrong in the pool."""
    options = RunOptions(return_latents=True)
    results = {width: pool.submit_sync(make_request(), width=width, options=options) for width in (1, 2, 3)}
    return {width: result.latents for width, result in results.items() if result.latents is not None}
