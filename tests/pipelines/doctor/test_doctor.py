"""`pabcast doctor` end to end: a healthy machine passes, and of what is wrong the right line fails and only that.

A run takes four seconds on two cores; those that are marked slow are so together.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from pipelines.places import ROOT
from tests.pipelines.conftest import S3Server
from tests.pipelines.doctor.other_ray import VERSION, save_other_ray
from tests.pipelines.doctor.report import clean_environment, diagnose
from tests.pipelines.faults import FaultProxy
from tests.ray_head import NO_TOKEN, free_port, ray_head

DEMO = "configs/demo.yaml"
ALWAYS = ["python", "packages", "torch", "gpu", "ray", "model", "codecs", "memory", "shared memory", "disk"]
KEYS = {"AWS_ACCESS_KEY_ID": "test-access", "AWS_SECRET_ACCESS_KEY": "test-secret"}


def test_a_healthy_machine_has_no_failed_line_and_is_left_as_it_was(tmp_path: Path) -> None:
    report = diagnose(DEMO, folder=tmp_path)
    assert (report.code, report.failed, report.answer["ok"]) == (0, [], True), report.err
    assert list(report.lines) == [*ALWAYS[:5], "store", "input", *ALWAYS[5:]]
    assert all(set(check) == {"name", "status", "found", "way_out"} for check in report.answer["checks"])
    assert all(check["found"] for check in report.answer["checks"])
    assert "its conditional put is a lock; tried in " in report.lines["store"]["found"]
    assert [line.split()[0] for line in report.err.splitlines()[:3]] == ["python", "packages", "torch"]
    assert report.err.splitlines()[-1].endswith("0 failed")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_a_config_the_machine_is_looked_at(tmp_path: Path) -> None:
    report = diagnose(folder=tmp_path)
    assert (report.code, list(report.lines)) == (0, ALWAYS), report.err


@pytest.mark.slow
def test_an_endpoints_config_is_looked_at_too(tmp_path: Path) -> None:
    report = diagnose("configs/serve.yaml", f"store.uri={tmp_path}/serve", folder=tmp_path)
    assert (report.code, list(report.lines)) == (0, [*ALWAYS[:5], "store", *ALWAYS[5:]]), report.err
    assert f"{tmp_path}/serve can be written" in report.lines["store"]["found"]


def test_of_a_store_that_is_down_the_store_fails(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    report = diagnose(DEMO, "output.uri=s3://bucket/out", folder=tmp_path, variables={**KEYS, "AWS_ENDPOINT_URL": url})
    assert (report.code, report.failed) == (1, ["store"]), report.err
    line = report.lines["store"]
    assert line["found"] == f"bucket bucket at {url} cannot be reached (EndpointConnection)"
    assert line["way_out"] == "check AWS_ENDPOINT_URL and the network"
    assert "way out: check AWS_ENDPOINT_URL" in report.err
    assert "test-secret" not in report.out + report.err


@pytest.mark.slow
def test_of_an_endpoint_of_s3_that_is_down_the_endpoint_fails(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    report = diagnose(folder=tmp_path, variables={"AWS_ENDPOINT_URL": url})
    assert (report.code, report.failed) == (1, ["s3 endpoint"]), report.err
    assert report.lines["s3 endpoint"]["found"] == f"nothing answers at {url}: Connection refused"


@pytest.mark.slow
@pytest.mark.parametrize("url", ["http://[::1", "http://user:pa/ss@host"])
def test_an_endpoint_of_s3_that_is_no_url_is_told_without_what_it_holds(tmp_path: Path, url: str) -> None:
    report = diagnose(folder=tmp_path, variables={"AWS_ENDPOINT_URL": url})
    assert (report.code, report.failed) == (1, ["s3 endpoint"]), report.err
    assert report.lines["s3 endpoint"]["found"] == "AWS_ENDPOINT_URL is no URL"


@pytest.mark.slow
def test_of_a_store_without_conditional_puts_the_store_fails(tmp_path: Path, moto_server: S3Server) -> None:
    bucket = moto_server.make_bucket()
    with FaultProxy(moto_server.endpoint, 0.0, drops="If-None-Match") as proxy:
        variables = {**moto_server.variables, "AWS_ENDPOINT_URL": proxy.endpoint}
        report = diagnose("--store", f"s3://{bucket}/x", folder=tmp_path, variables=variables)
    assert (report.code, report.failed) == (1, ["store"]), report.err
    assert "its conditional put is no lock: two jobs" in report.lines["store"]["found"]
    assert "run one at a time, or take a store that knows If-None-Match" in report.lines["store"]["way_out"]


@pytest.mark.slow
def test_a_real_store_passes_and_keeps_nothing(tmp_path: Path, s3_server: S3Server, s3_uri: str) -> None:
    from pipelines.store import open_store

    report = diagnose("--store", s3_uri, folder=tmp_path, variables=s3_server.variables)
    assert (report.code, report.failed) == (0, []), report.err
    assert f"{s3_uri} can be written; its conditional put is a lock" in report.lines["store"]["found"]
    assert list(open_store(s3_uri).list()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("asks", [["--gpu"], [DEMO, "cluster.device=cuda"]])
def test_of_no_gpu_where_one_is_asked_for_the_gpu_fails(tmp_path: Path, asks: list[str]) -> None:
    report = diagnose(*asks, folder=tmp_path)
    assert (report.code, report.failed) == (1, ["gpu"]), report.err
    assert report.lines["gpu"]["found"].startswith("none, and one is asked for: torch ")
    assert "cluster.device=cpu" in report.lines["gpu"]["way_out"]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting needs root and unshare")
def test_of_too_little_shared_memory_the_shared_memory_fails(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"'
    report = diagnose(DEMO, folder=tmp_path, within=["unshare", "-m", "sh", "-c", mount, "sh"])
    assert (report.code, report.failed) == (1, ["shared memory"]), report.err
    line = report.lines["shared memory"]
    assert line["found"].startswith("67.1 MB of 67.1 MB free; wanted: ")
    assert "for Ray's object store (30% of " in line["found"]
    assert "docker run --shm-size=" in line["way_out"]


def test_of_another_ray_than_the_pinned_one_ray_fails(tmp_path: Path) -> None:
    path = f"{save_other_ray(tmp_path / 'overlay')}:{ROOT}"
    report = diagnose(folder=tmp_path, variables={"PYTHONPATH": path})
    assert (report.code, report.failed) == (1, ["ray"]), report.err
    assert report.lines["ray"]["found"] == f"{VERSION}, and <2.61,>=2.60 is wanted"
    assert report.lines["ray"]["way_out"] == "pip install 'ray<2.61,>=2.60'"


@pytest.mark.slow
def test_of_a_cluster_of_another_ray_the_cluster_fails_and_its_own_driver_passes(tmp_path: Path) -> None:
    path = save_other_ray(tmp_path / "overlay")
    with ray_head(1, variables={**NO_TOKEN, "PYTHONPATH": path}) as head:
        report = diagnose(DEMO, f"cluster.address={head.address}", folder=tmp_path)
        assert (report.code, report.failed) == (1, ["ray cluster"]), report.err
        assert f"{head.address} has Ray {VERSION} and Python" in report.lines["ray cluster"]["found"]
        alike = diagnose("--address", head.address, folder=tmp_path, variables={"PYTHONPATH": f"{path}:{ROOT}"})
        assert alike.failed == ["ray"]
        assert alike.lines["ray cluster"]["status"] == "ok"


@pytest.mark.slow
def test_a_cluster_of_the_same_versions_passes_by_flag_and_by_ray_address(tmp_path: Path) -> None:
    with ray_head(1) as head:
        report = diagnose(DEMO, f"cluster.address={head.address}", "cluster.device=cuda", folder=tmp_path)
        assert (report.code, report.failed) == (0, []), report.err
        assert report.lines["ray cluster"]["found"].endswith(", 1 node")
        assert report.lines["cluster gpus"]["status"] == "warning"
        found = diagnose(folder=tmp_path, variables={"RAY_ADDRESS": head.address})
        assert (found.code, found.lines["ray cluster"]["status"]) == (0, "ok"), found.err


@pytest.mark.slow
def test_a_cluster_passes_through_ray_client(tmp_path: Path) -> None:
    with ray_head(1) as head:
        report = diagnose("--address", head.client, folder=tmp_path)
    assert (report.code, report.lines["ray cluster"]["status"]) == (0, "ok"), report.err
    assert head.client in report.lines["ray cluster"]["found"]


@pytest.mark.slow
def test_a_cluster_that_asks_for_a_token_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    token = "0123456789abcdef" * 2
    asks = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    with ray_head(1, variables={**NO_TOKEN, **asks}) as head:
        unasked = diagnose("--address", head.address, folder=tmp_path)
        assert (unasked.code, unasked.failed) == (1, ["ray cluster"]), unasked.err
        assert "wants a token, and was shown none or another" in unasked.lines["ray cluster"]["found"]
        shown = diagnose("--address", head.address, folder=tmp_path, variables=asks)
        assert (shown.code, shown.lines["ray token"]["status"]) == (0, "ok"), shown.err
        lost = {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
        nowhere = diagnose("--address", head.address, folder=tmp_path, variables=lost)
        assert (nowhere.code, nowhere.failed) == (1, ["ray token"]), nowhere.err
    assert token not in unasked.out + shown.out + shown.err


@pytest.mark.slow
def test_of_an_address_that_nobody_answers_at_the_cluster_fails(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    report = diagnose("--address", address, folder=tmp_path)
    assert (report.code, report.failed) == (1, ["ray cluster"]), report.err
    assert report.lines["ray cluster"]["found"] == f"nothing answers at the address {address}: Connection refused"


@pytest.mark.slow
def test_a_model_that_is_cut_short_fails_and_the_rest_does_not(tmp_path: Path, tiny_model: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    weights = next((tmp_path / "model/transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    report = diagnose(DEMO, f"model={tmp_path}/model", "sampling.height=32", "sampling.width=32", folder=tmp_path)
    assert (report.code, report.failed) == (1, ["model"]), report.err
    assert str(weights) in report.lines["model"]["found"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.yaml"], "the config none.yaml cannot be read"),
        (["sampling.steps=3"], "sampling.steps=3 is no file; key=value stands behind the CONFIG that it changes"),
        ([DEMO, "sampling.stepz=3"], "unknown key sampling.stepz; the nearest known one is sampling.steps"),
        (["--gpus"], "No such option"),
        ([""], "CONFIG is empty; give a YAML file"),
        (["."], "the config . cannot be read: Is a directory"),
        (["/dev/null"], "the config /dev/null is a pipe or a device; give a file"),
        ([sys.executable], "is not text in UTF-8"),
        (["--store", ""], "--store is empty"),
        (["--address", ""], "--address is empty; give auto or host:port"),
        (["--store", "s3://"], "--store s3:// names no bucket"),
        (["--store", "ftp://x/y"], "ftp:// is not supported"),
    ],
)
def test_bad_usage_ends_with_2_and_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    begun = time.monotonic()
    report = diagnose(*arguments, folder=tmp_path)
    assert (report.code, report.out, report.err.count("\n")) == (2, "", 1)
    assert sentence in report.err
    assert time.monotonic() - begun < 60


def test_a_config_that_says_nothing_is_told_and_a_pipe_with_a_name_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    os.mkfifo(tmp_path / "pipe.yaml")
    empty, pipe = (diagnose(f"{name}.yaml", folder=tmp_path) for name in ("empty", "pipe"))
    assert (empty.code, "the config empty.yaml says nothing" in empty.err) == (2, True)
    assert (pipe.code, pipe.err) == (2, "error: the config pipe.yaml is a pipe or a device; give a file\n")


def test_in_odd_surroundings_there_is_one_json_object_and_no_traceback(tmp_path: Path) -> None:
    odd = {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shell = ["env", "-u", "HOME", "sh", "-c", 'exec "$@" 2>/dev/full <&-', "sh"]
    report = diagnose(folder=tmp_path, variables={**odd, "TMPDIR": "/nowhere/tmp"}, within=shell)
    assert (report.code, report.failed, report.out.count("\n")) == (0, [], 1)
    (told,) = [check for check in report.answer["checks"] if check["status"] == "warning" and check["name"] == "disk"]
    assert "TMPDIR=/nowhere/tmp cannot be used" in told["found"]


@pytest.mark.slow
def test_a_stdout_that_takes_nothing_is_told_in_one_sentence(tmp_path: Path) -> None:
    shell = ["sh", "-c", 'exec "$@" >/dev/full', "sh"]
    report = diagnose(folder=tmp_path, within=shell)
    assert (report.code, report.out, "Traceback" in report.err) == (1, "", False)
    assert report.err.endswith("\nerror: stdout cannot be written: No space left on device; send it elsewhere\n")


def test_in_a_folder_that_was_removed_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    shell = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh"]
    report = diagnose(folder=tmp_path / "gone", within=shell)
    said = "error: the folder that this runs in was removed; cd to one that is there\n"
    assert (report.code, report.out, report.err) == (2, "", said)


def test_ctrl_c_ends_it_and_its_checks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "doctor"]
    doctor = subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE, text=True)
    checks: list[psutil.Process] = []
    while len(checks) < 2 and doctor.poll() is None:
        checks = psutil.Process(doctor.pid).children()
    doctor.send_signal(signal.SIGINT)
    _, err = doctor.communicate(timeout=60)
    assert (doctor.returncode, err) == (130, "stopped\n")
    _, alive = psutil.wait_procs(checks, timeout=10)
    assert alive == []


@pytest.mark.slow
def test_something_silent_at_the_address_is_told_and_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        report = diagnose("--address", address, folder=tmp_path)
    assert (report.code, report.failed) == (1, ["ray cluster"]), report.err
    assert "does not answer as Ray's head within " in report.lines["ray cluster"]["found"]
