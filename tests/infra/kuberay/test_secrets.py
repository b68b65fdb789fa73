"""Secrets are named and never contained."""

import re
from pathlib import Path

import pytest

from tests.infra.kuberay.operator import pods_of
from tests.infra.kuberay.pod_security import containers
from tests.infra.kuberay.rendering import KUBERAY, OVERLAYS, custom, named, render, walk

NAMES = {"pabcast-ray-token", "pabcast-s3", "pabcast-keys"}
LOOKS_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN|\bsk-[A-Za-z0-9_-]{16,}|\b[0-9a-fA-F]{40,}\b|(?i:secret_access_key|auth_token)\s*[=:]\s*[\"']?[A-Za-z0-9/+_-]{12,}"
)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_that_is_referred_to_is_one_of_those_that_the_document_makes(overlay: str) -> None:
    found = set()
    for path, value in walk(custom(render(overlay))):
        key = path.rpartition(".")[2]
        if key in ("secretRef", "secretKeyRef"):
            found.add(value["name"])
        elif key == "secretName":
            found.add(value)
    assert found == NAMES - (set() if overlay.endswith("endpoint") else {"pabcast-keys"})
    readme = (KUBERAY / "README.md").read_text()
    assert all(f"create secret generic {name} " in readme for name in NAMES)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_rendered_and_no_variable_holds_one(overlay: str) -> None:
    objects = render(overlay)
    assert "Secret" not in {thing["kind"] for thing in objects}
    for pod in pods_of(objects):
        for container in containers(pod.spec):
            for variable in container["env"]:
                assert "value" not in variable or not re.search("SECRET|TOKEN|KEY", variable["name"]), variable
    for name in named(objects, "ConfigMap", "pabcast-settings")["data"]:
        assert not re.search("SECRET|TOKEN|KEY", name)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_keys_of_the_bucket_may_be_missing_where_a_service_account_stands_in(overlay: str) -> None:
    for pod in pods_of(render(overlay)):
        if pod.start:
            assert {"secretRef": {"name": "pabcast-s3", "optional": True}} in pod.ray["envFrom"]


def files() -> list[Path]:
    return sorted(file for file in KUBERAY.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(KUBERAY)))
def test_no_file_holds_what_looks_like_a_secret(file: Path) -> None:
    assert not LOOKS_SECRET.findall(file.read_text())


@pytest.mark.parametrize(
    "line",
    ["AKIA" + "A" * 16, "-----BEGIN PRIVATE" + " KEY-----", "auth_token: " + "abc" * 5, "x " + "0a" * 32],
)
def test_what_looks_like_a_secret_would_be_found(line: str) -> None:
    assert LOOKS_SECRET.search(line)
