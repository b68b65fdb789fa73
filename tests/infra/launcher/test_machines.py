"""What the launcher does on a machine before its container: logins to registries, and who reads Ray's token."""

import os
import subprocess
from pathlib import Path

import pytest
from ray.autoscaler.sdk import get_docker_host_mount_location

from tests.infra.launcher.clusters import CLOUDS, read
from tests.infra.launcher.metadata import METADATA


def command_with(cloud: str, word: str) -> str:
    (command,) = (command for command in read(cloud)["initialization_commands"] if word in command)
    return str(command)


def logins(cloud: str, registry: str, folder: Path, moves: dict[str, str] | None = None) -> list[str]:
    """What the login's command calls of `aws` and `docker`, a password's last."""
    command = command_with(cloud, "docker login").replace("registry.example.com", registry)
    for old, new in (moves or {}).items():
        command = command.replace(old, new)
    calls = folder / "calls"
    calls.unlink(missing_ok=True)
    (folder / "aws").write_text(f'#!/bin/sh\necho "aws $*" >> {calls}\necho of-ecr\n')
    (folder / "docker").write_text(f'#!/bin/sh\npassword=$(cat)\necho "docker $* $password" >> {calls}\n')
    for name in ("aws", "docker"):
        (folder / name).chmod(0o755)
    variables = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    # In parentheses, as the launcher has it.
    subprocess.run(["bash", "-c", f"true && ({command})"], env=variables, check=True, timeout=20)
    return calls.read_text().splitlines() if calls.exists() else []


def test_a_machine_on_aws_logs_in_to_ecr_in_the_registrys_region(tmp_path: Path) -> None:
    host = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
    assert sorted(logins("aws", host, tmp_path)) == [
        "aws ecr get-login-password --region eu-west-1",
        f"docker login --username AWS --password-stdin {host} of-ecr",
    ]


def test_a_machine_on_google_cloud_logs_in_to_artifact_registry_as_itself(metadata_server: str, tmp_path: Path) -> None:
    host = "europe-west4-docker.pkg.dev"
    assert logins("gcp", f"{host}/project/videos", tmp_path, {METADATA: metadata_server}) == [
        f"docker login --username oauth2accesstoken --password-stdin {host} an-access.token"
    ]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_registry_that_wants_no_login_gets_none(cloud: str, tmp_path: Path) -> None:
    assert logins(cloud, "registry.example.com", tmp_path) == []


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_registry_of_the_login_is_the_images(cloud: str) -> None:
    registry = read(cloud)["docker"]["image"].rpartition("/")[0]
    assert command_with(cloud, "docker login").startswith(f"registry={registry}; ")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_rays_token_is_readable_for_every_user_of_the_container_and_on_the_machine_for_its_owner_alone(
    cloud: str, tmp_path: Path
) -> None:
    config = read(cloud)
    (mount,) = config["file_mounts"]
    on_machine = Path(get_docker_host_mount_location(config["cluster_name"]))
    top = on_machine.parent
    folder = tmp_path / f"{on_machine.relative_to('/')}{mount}"
    folder.mkdir(parents=True)
    (folder / "token").write_text("secret")
    (folder / "token").chmod(0o600)
    folder.chmod(0o700)
    command = command_with(cloud, "chmod 700").replace(str(top), f"{tmp_path}{top}")
    subprocess.run(["bash", "-c", command], check=True, timeout=20)
    assert (folder / "token").stat().st_mode & 0o777 == 0o644
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / top.relative_to("/")).stat().st_mode & 0o777 == 0o700
