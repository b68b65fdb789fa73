from pathlib import Path

import pytest

from actors.pool_client import PoolClient
from actors.spec import PoolSpec
from cluster.errors import ClusterError, ConfigError


def test_a_model_that_cannot_be_loaded_is_told_in_one_sentence(ray_session: None, tmp_path: Path) -> None:
    spec = PoolSpec(model=str(tmp_path), workers=1, device="cpu")
    with PoolClient.connect(spec, name="no-model") as client, pytest.raises(ClusterError) as caught:
        client.wait_ready(120)
    assert str(caught.value).startswith("worker 0 on node ")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.workers is 0; it must be 1 or more"):
        PoolSpec(model="m", workers=0)
    with pytest.raises(ConfigError, match=r"cluster\.step_timeout_s is 0"):
        PoolSpec(model="m", workers=1, step_timeout_s=0)


def test_a_step_that_may_compile_takes_longer_before_it_counts_as_hung() -> None:
    assert PoolSpec(model="m", workers=1).step_limit_s == 120
    assert PoolSpec(model="m", workers=1, compile=True).step_limit_s == 900
    assert PoolSpec(model="m", workers=1, compile=True, step_timeout_s=60).step_limit_s == 60


def test_auto_means_cuda_where_the_cluster_has_gpus() -> None:
    spec = PoolSpec(model="m", workers=2)
    assert (spec.resolve(0).device, spec.resolve(0).dtype) == ("cpu", "float32")
    assert (spec.resolve(8).device, spec.resolve(8).dtype) == ("cuda", "bfloat16")
    assert str(spec.resolve(8).demand) == "2 workers with 1 GPU + 1 CPU each"
