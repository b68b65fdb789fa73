"""What is installed against the ranges of pyproject.toml."""

import tomllib

import pytest
from packaging.specifiers import SpecifierSet

from pipelines.doctor.versions import judge, judge_packages, look_at_packages, look_at_python, read_ranges
from pipelines.doctor.wanted import Wanted
from pipelines.places import ROOT

TORCH = SpecifierSet(">=2.11,<2.14")


def test_the_ranges_are_those_of_the_checkout() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = read_ranges()
    assert ranges.python == SpecifierSet(project["requires-python"])
    assert len(ranges.packages) == len(project["dependencies"])
    assert ranges.packages["torch"] == TORCH
    assert "flash-attn-4" not in ranges.packages


def test_what_runs_this_test_is_in_its_ranges() -> None:
    lines = [*look_at_python(Wanted()), *look_at_packages(Wanted())]
    assert [(line.name, line.status) for line in lines] == [("python", "ok"), ("packages", "ok")]


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("2.11.0", "ok"),
        ("2.13.1+cu130", "ok"),
        ("2.12.0.dev20260101", "ok"),
        ("2.10.2", "failed"),
        ("2.14.0+cu130", "failed"),
    ],
)
def test_builds_and_pre_releases_of_a_version_in_the_range_are_in_it(version: str, status: str) -> None:
    line = judge("torch", version, TORCH)
    assert line.status == status
    assert line.found.startswith(version)
    assert line.way_out == ("" if status == "ok" else f"pip install 'torch{TORCH}'")


def test_packages_that_are_missing_or_too_old_are_named_with_one_command_for_all() -> None:
    ranges = {"av": SpecifierSet(">=15"), "boto3": SpecifierSet(">=1.43"), "numpy": SpecifierSet(">=2.0")}
    line = judge_packages({"av": None, "boto3": "1.40.1", "numpy": "2.3"}, ranges)
    assert line.status == "failed"
    assert line.found == "av is not installed; boto3 is 1.40.1, and >=1.43 is wanted"
    assert line.way_out == "pip install 'av>=15' 'boto3>=1.43'"
