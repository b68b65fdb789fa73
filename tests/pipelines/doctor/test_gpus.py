"""What is said of the GPUs that torch sees, or does not see."""

from dataclasses import replace

import pytest
import torch

from pipelines.config import make_config
from pipelines.doctor.gpus import Gpu, TorchFacts, judge_count, judge_memory, judge_nccl, look_at_torch, read_torch
from pipelines.doctor.wanted import Wanted

GIB = 1 << 30
NONE = TorchFacts(version="2.13.0+cpu")
GPU = Gpu(name="H100", free_bytes=78 * GIB, total_bytes=80 * GIB)
TWO = TorchFacts(version="2.13.0+cu130", cuda="13.0", nccl="2.27.5", gpus=(GPU, GPU))


def wanted(gpu: bool = False, **cluster: object) -> Wanted:
    """A job's wish, with keys of its section `cluster`."""
    job = make_config({"model": "demo", "input": {"path": "p.txt"}, "output": {"uri": "out"}, "cluster": cluster})
    return Wanted(config=job, gpu=gpu, store="out", address=job.cluster.address)


@pytest.mark.parametrize("asked", [Wanted(), wanted(), wanted(device="cpu"), wanted(device="cuda", address="h:1")])
def test_no_gpu_is_fine_where_none_is_asked_for_here(asked: Wanted) -> None:
    assert judge_count(NONE, asked).status == "ok"


@pytest.mark.parametrize("asked", [Wanted(gpu=True), wanted(device="cuda"), wanted(gpu=True, address="head:6379")])
def test_no_gpu_where_one_is_asked_for_has_failed_with_the_reason(asked: Wanted) -> None:
    line = judge_count(NONE, asked)
    assert line.status == "failed"
    assert line.found == "none, and one is asked for: torch 2.13.0+cpu is built for the CPU alone"
    driver = replace(NONE, version="2.13.0+cu130", cuda="13.0", remark="the driver is too old (found version 12000)")
    line = judge_count(driver, asked)
    assert line.found.endswith("built for CUDA 13.0 and sees no GPU (the driver is too old (found version 12000))")
    assert "nvidia-smi" in line.way_out


@pytest.mark.parametrize(
    ("cluster", "status", "words"),
    [
        ({"workers": 2}, "ok", "2 GPUs: H100; CUDA 13.0"),
        ({"workers": 4}, "failed", "4 workers want one each"),
        ({"workers": 4, "device": "cpu"}, "ok", "the config asks for the CPU"),
        ({"workers": 4, "min_workers": 0, "domain_workers": 2}, "warning", "up to 4 workers want one each"),
        ({"workers": 4, "min_workers": 0}, "failed", "4 workers want one each"),
        ({"workers": 4, "address": "head:6379"}, "ok", "2 GPUs"),
    ],
)
def test_each_worker_of_this_machine_wants_a_gpu_of_its_own(cluster: dict, status: str, words: str) -> None:
    line = judge_count(TWO, wanted(**cluster))
    assert (line.status, words in line.found) == (status, True), line


def test_a_gpu_that_cannot_compute_has_failed_with_its_number() -> None:
    broken = replace(TWO, gpus=(GPU, replace(GPU, problem="CUDA error: no kernel image is available")))
    line = judge_count(broken, Wanted())
    assert (line.status, line.found) == ("failed", "cannot compute: 1: CUDA error: no kernel image is available")


@pytest.mark.parametrize(
    ("free_gib", "weights_gib", "status"), [(78, 0, "ok"), (78, 28, "ok"), (60, 28, "warning"), (20, 28, "failed")]
)
def test_the_fullest_gpu_must_have_room_for_the_weights(free_gib: int, weights_gib: int, status: str) -> None:
    fullest = replace(GPU, free_bytes=free_gib * GIB)
    line = judge_memory([GPU, fullest], weights_gib * GIB)
    assert line.status == status
    assert "of 85.9 GB free on the fullest" in line.found


def test_without_nccl_only_single_workers_work() -> None:
    assert judge_nccl(TWO, wanted(workers=2)).status == "ok"
    assert judge_nccl(replace(TWO, nccl=None), wanted(workers=2)).status == "failed"
    assert judge_nccl(replace(TWO, nccl=None), wanted(workers=2, domain_workers=1)).status == "warning"


def test_torch_is_asked_for_what_it_is() -> None:
    facts = read_torch()
    assert (facts.version, facts.cuda) == (torch.__version__, torch.version.cuda)
    assert len(facts.gpus) == torch.cuda.device_count()
    assert [line.name for line in look_at_torch(Wanted())][:2] == ["torch", "gpu"]


@pytest.mark.gpu
def test_the_gpus_of_this_machine_compute_and_are_described() -> None:
    lines = {line.name: line for line in look_at_torch(Wanted(gpu=True))}
    assert {"torch", "gpu", "gpu memory", "nccl"} <= set(lines)
    assert torch.cuda.get_device_name(0) in lines["gpu"].found
    assert lines["gpu"].status == "ok"
    assert ("gpu links" in lines) == (torch.cuda.device_count() > 1)
