"""The locks have all that pyproject.toml asks for, with hashes, and no word of where they were made."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pipelines.places import ROOT
from tests.infra.image.stages import ACCELERATORS, PYTHON

EXTRAS = {"cpu": ("gcp",), "cuda": ("gcp", "flash")}
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][A-Za-z0-9.+]*) \\")
HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?")
LINUX = {**default_environment(), "python_version": PYTHON, "sys_platform": "linux"}


def lock_file(accelerator: str) -> Path:
    return ROOT / f"infra/image/requirements-{accelerator}.lock"


def locked(accelerator: str) -> dict[str, Version]:
    found = [PIN.fullmatch(line) for line in lock_file(accelerator).read_text().splitlines()]
    return {match["name"]: Version(match["version"]) for match in found if match}


def wanted(accelerator: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra in EXTRAS[accelerator] for line in project["optional-dependencies"][extra]]
    all_of_them = map(Requirement, (*project["dependencies"], *extras))
    return [want for want in all_of_them if want.marker is None or want.marker.evaluate(LINUX)]


def unmet(requirements: list[Requirement], versions: dict[str, Version]) -> list[str]:
    return [
        str(want)
        for want in requirements
        if canonicalize_name(want.name) not in versions
        or not want.specifier.contains(versions[canonicalize_name(want.name)], prereleases=True)
    ]


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_a_lock_meets_every_requirement(accelerator: str) -> None:
    versions = locked(accelerator)
    assert len(versions) > 100
    assert unmet(wanted(accelerator), versions) == []
    assert unmet([Requirement("ray<2"), Requirement("no-such-thing")], versions) == ["ray<2", "no-such-thing"]


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_a_lock_has_names_versions_and_hashes_and_nothing_else(accelerator: str) -> None:
    lines = [line for line in lock_file(accelerator).read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []
    # A pin that is followed by another one would have no hash.
    pins = [bool(PIN.fullmatch(line)) for line in lines]
    assert not any(one and other for one, other in zip(pins, [*pins[1:], True], strict=True))


def test_the_variants_differ_in_torch_and_what_it_brings_alone() -> None:
    cpu, cuda = locked("cpu"), locked("cuda")
    assert (cpu["torch"].local, cuda["torch"].local) == ("cpu", None)
    assert cpu["torch"].public == cuda["torch"].public
    assert {name for name in cpu if name != "torch" and cpu[name] != cuda.get(name)} == set()
    assert not any(name.startswith(("nvidia-", "triton")) for name in cpu)
    assert {"nvidia-nccl-cu13", "triton", "flash-attn-4"} <= set(cuda)
