"""What can be said of the image without a Docker engine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from string import Template

import pytest

from pipelines.places import ROOT
from pipelines.serving.config import load_serve_config
from tests.infra.image.stages import ACCELERATORS, DOCKERFILE, context, global_arguments, lineage, stages

HADOLINT = Path(sys.executable).with_name("hadolint")
STAGES = stages()
IMAGES = ("pabcast", "endpoint")
SECRET = re.compile(r"PASSW|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE", re.IGNORECASE)


def lint(path: Path) -> "subprocess.CompletedProcess[str]":
    command = [HADOLINT, "--no-color", "--failure-threshold=style", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def secret_names(path: Path) -> list[str]:
    """Build arguments and variables whose name says that a secret would stay in a layer or in the history."""
    named = [*stages(path).values()]
    names = [name for stage in named for name in (*stage.arguments, *stage.environment)]
    return [name for name in (*global_arguments(path), *names) if SECRET.search(name)]


def test_hadolint_has_nothing_to_say() -> None:
    done = lint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("FROM python:latest", "DL3007"),
        ("ADD cluster /cluster", "DL3020"),
        ("USER root", "DL3002"),
        ("RUN apt-get install -y gcc", "DL3008"),
    ],
)
def test_hadolint_finds_what_is_wrong(line: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"{DOCKERFILE.read_text()}\n{line}\n")
    done = lint(tmp_path / "Dockerfile")
    assert done.returncode == 1
    assert rule in done.stdout


def test_every_base_has_a_tag_that_is_not_latest() -> None:
    bases = {stage.base for stage in STAGES.values()} - set(STAGES)
    assert bases
    for base in bases:
        _, colon, tag = base.rpartition(":")
        assert colon, base
        assert re.match(r"\d+\.\d+", tag), base


def test_nothing_is_fetched_by_add() -> None:
    assert not any(stage.of("ADD") for stage in STAGES.values())


def test_the_image_that_a_plain_build_makes_is_the_command() -> None:
    assert list(STAGES)[-1] == "pabcast"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_user_1000_in_the_folder_of_the_code(image: str) -> None:
    line = lineage(image, STAGES)
    assert [user.value for stage in line for user in stage.of("USER")] == [("1000:1000",)]
    assert [folder.value for stage in line for folder in stage.of("WORKDIR")] == [("/app",)]


@pytest.mark.parametrize("image", IMAGES)
def test_a_node_can_be_started_in_an_image_by_any_command(image: str) -> None:
    # KubeRay and the cluster launcher give a shell; an entry point would take it for arguments.
    assert not any(stage.of("ENTRYPOINT") for stage in lineage(image, STAGES))


def test_the_dependencies_are_on_the_path_of_a_login_shell_too(tmp_path: Path) -> None:
    # The launcher runs each command in one, and Debian's /etc/profile sets PATH anew.
    environment = STAGES["runtime"].environment
    assert environment["PATH"].split(":")[0] == "/opt/venv/bin"
    assert environment["HOME"] == "/home/pabcast"
    run = STAGES["runtime"].of("RUN")[0].value[0]
    profile = next(part for part in run.split("&&") if "/etc/profile.d/" in part)
    subprocess.run(profile.replace("/etc/profile.d/", f"{tmp_path}/"), shell=True, check=True)
    shell = ["bash", "--login", "-c", f"source {tmp_path}/venv.sh; echo $PATH"]
    assert subprocess.run(shell, capture_output=True, text=True, check=True).stdout.startswith("/opt/venv/bin:")


def test_a_driver_that_gke_mounts_is_found_and_nothing_else_is_looked_for_before_it() -> None:
    environment = STAGES["runtime"].environment
    assert environment["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib64:/usr/local/nvidia/lib"
    assert environment["PATH"].split(":")[-1] == "/usr/local/nvidia/bin"


def test_no_argument_or_variable_is_for_a_secret(tmp_path: Path) -> None:
    assert secret_names(DOCKERFILE) == []
    planted = tmp_path / "Dockerfile"
    planted.write_text("ARG INDEX_PASSWORD\nFROM x:1 AS x\nARG HF_TOKEN\nENV AWS_SECRET_ACCESS_KEY=\n")
    assert secret_names(planted) == ["INDEX_PASSWORD", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"]


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_all_that_is_copied_is_in_the_context(accelerator: str) -> None:
    seen = context()
    copies = [copy for stage in STAGES.values() for copy in stage.of("COPY") if not copy.flags]
    sources = [
        Template(source).safe_substitute(ACCELERATOR=accelerator) for copy in copies for source in copy.value[:-1]
    ]
    assert len(sources) == 8
    for source in sources:
        assert source in seen or any(path.startswith(f"{source}/") for path in seen), source


def test_all_that_is_installed_and_nothing_else_is_in_the_context(tmp_path: Path) -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    tops = {path.split("/")[0] for path in context()}
    assert tops == {*packages["packages"], "pyproject.toml", "README.md", "LICENSE", "infra"}
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    stray = (".env", ".aws/credentials", ".git/config", "keys.txt", "out/demo/metadata.parquet", "infra/s3/env")
    stray += ("configs/.env", "pipelines/.env.local", "configs/jobs/cloud.pem", "actors/host.key")
    for name in (*stray, "pipelines/__pycache__/cli.cpython-311.pyc", "pipelines/cli.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert context(tmp_path) == {"pipelines/cli.py"}


@pytest.mark.slow
def test_the_context_has_no_secret_whether_git_tracks_it_or_not() -> None:
    scan = [ROOT / ".ci/secrets", *sorted(context())]
    done = subprocess.run(scan, cwd=ROOT, env=on_path(), capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def on_path() -> dict[str, str]:
    """The environment, with this interpreter's programs first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_the_labels_say_what_the_image_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = STAGES["runtime"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in runtime.labels.items()}
    assert labels["title"] == project["name"]
    assert labels["version"] == f"{project['version']}-{runtime.arguments['ACCELERATOR']}"
    assert labels["licenses"] == project["license"]
    assert {"description", "revision", "created", "source", "base.name"} <= set(labels)
    assert runtime.arguments["ACCELERATOR"] == STAGES["builder"].arguments["ACCELERATOR"]


def test_the_endpoint_listens_to_others_with_keys_and_is_asked_for_its_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    endpoint = STAGES["endpoint"]
    command = endpoint.of("CMD")[0].value
    assert command[:2] == ("pabcast", "serve")
    config = load_serve_config(command[2], list(command[3:]))
    assert not config.http.is_loopback
    assert config.keys_path == "/run/secrets/keys"
    assert endpoint.of("EXPOSE")[0].value == (str(config.http.port),)
    assert endpoint.of("HEALTHCHECK")[0].value[-1] == f"http://127.0.0.1:{config.http.port}/healthz"
