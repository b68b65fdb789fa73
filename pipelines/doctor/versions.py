"""The ranges of versions that pabcast is made for, and what is installed."""

import importlib.metadata
import platform
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipelines.doctor.finding import Finding, failed, ok
from pipelines.doctor.wanted import Wanted
from pipelines.places import ROOT

NAME = "pabcast"
APART = ("ray", "torch")
"""Those that are asked for their version themselves: what is imported may not be what was installed."""


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """What `pyproject.toml` asks for."""

    python: SpecifierSet
    packages: Mapping[str, SpecifierSet]
    """By the name of the package; of extras nothing."""


def read_ranges() -> Ranges:
    """The ranges of the checkout that runs, or of the installed package."""
    file = ROOT / "pyproject.toml"
    project = tomllib.loads(file.read_text())["project"] if file.is_file() else {}
    if project.get("name") == NAME:
        return _ranges(project["requires-python"], project["dependencies"])
    metadata = importlib.metadata.metadata(NAME)
    return _ranges(metadata["Requires-Python"], metadata.get_all("Requires-Dist") or [])


def look_at_python(wanted: Wanted) -> list[Finding]:
    """The line `python`."""
    return [judge("python", platform.python_version(), read_ranges().python)]


def look_at_packages(wanted: Wanted) -> list[Finding]:
    """The line `packages`: all that pabcast needs but Ray and torch."""
    ranges = {name: range_ for name, range_ in read_ranges().packages.items() if name not in APART}
    return [judge_packages({name: _installed(name) for name in ranges}, ranges)]


def judge(name: str, version: str, range_: SpecifierSet) -> Finding:
    """Whether `version` of the package (or interpreter) `name` is in the range."""
    if range_.contains(version, prereleases=True):
        return ok(name, f"{version}, of {range_}")
    way_out = f"use Python {range_}" if name == "python" else f"pip install '{name}{range_}'"
    return failed(name, f"{version}, and {range_} is wanted", way_out)


def judge_packages(versions: Mapping[str, str | None], ranges: Mapping[str, SpecifierSet]) -> Finding:
    """Whether the packages, each with its version or None, are there and in their ranges."""
    wrong = {
        name: version
        for name, version in versions.items()
        if version is None or not ranges[name].contains(version, prereleases=True)
    }
    if not wrong:
        return ok("packages", f"all {len(ranges)} are there, in their ranges")
    found = "; ".join(
        f"{name} is not installed" if version is None else f"{name} is {version}, and {ranges[name]} is wanted"
        for name, version in wrong.items()
    )
    return failed("packages", found, "pip install " + " ".join(f"'{name}{ranges[name]}'" for name in wrong))


def _ranges(python: str, packages: list[str]) -> Ranges:
    return Ranges(python=SpecifierSet(python), packages=dict(_packages(packages)))


def _packages(lines: list[str]) -> Iterator[tuple[str, SpecifierSet]]:
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name, requirement.specifier


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
