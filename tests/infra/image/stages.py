"""The Dockerfile as BuildKit's own parser reads it, and the files that a build gets to see."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import Template

import dockerfile
from docker.utils.build import exclude_paths

from pipelines.places import ROOT

DOCKERFILE = ROOT / "infra/image/Dockerfile"
ACCELERATORS = ("cpu", "cuda")
PYTHON = "3.11"
"""Whose wheels the locks are for."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One FROM with what follows it."""

    name: str
    base: str
    commands: list[dockerfile.Command] = field(default_factory=list)

    def of(self, kind: str) -> list[dockerfile.Command]:
        """Its commands of one kind, as `RUN`."""
        return [command for command in self.commands if command.cmd.upper() == kind]

    @cached_property
    def environment(self) -> dict[str, str]:
        """What its ENV commands set."""
        return dict(self._pairs("ENV"))

    @cached_property
    def arguments(self) -> dict[str, str]:
        """Its build arguments with their defaults."""
        return dict(argument.partition("=")[::2] for command in self.of("ARG") for argument in command.value)

    @cached_property
    def labels(self) -> dict[str, str]:
        """Its labels, with build arguments at their defaults."""
        return {name: Template(value).safe_substitute(self.arguments) for name, value in self._pairs("LABEL")}

    def _pairs(self, kind: str) -> list[tuple[str, str]]:
        values = [value.strip('"') for command in self.of(kind) for value in command.value]
        return list(zip(values[::2], values[1::2], strict=True))


def global_arguments(path: Path = DOCKERFILE) -> dict[str, str]:
    """The build arguments before the first FROM, which it may name."""
    commands = dockerfile.parse_file(str(path))
    first = next(index for index, command in enumerate(commands) if command.cmd.upper() == "FROM")
    return Stage(name="", base="", commands=list(commands[:first])).arguments


def stages(path: Path = DOCKERFILE) -> dict[str, Stage]:
    """The stages in order, by name; their bases with build arguments at their defaults."""
    arguments = global_arguments(path)
    found: list[Stage] = []
    for command in dockerfile.parse_file(str(path)):
        if command.cmd.upper() == "FROM":
            base = Template(command.value[0]).safe_substitute(arguments)
            found.append(Stage(name=command.value[-1], base=base))
        elif found:
            found[-1].commands.append(command)
    return {stage.name: stage for stage in found}


def lineage(name: str, all_stages: dict[str, Stage]) -> list[Stage]:
    """A stage and those it is built from, itself first."""
    stage = all_stages[name]
    return [stage, *(lineage(stage.base, all_stages) if stage.base in all_stages else [])]


def context(folder: Path = ROOT) -> set[str]:
    """The paths below `folder` that .dockerignore lets a build see."""
    lines = (folder / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    paths = exclude_paths(str(folder), patterns) - {".dockerignore"}  # which the builder itself is sent
    return {path for path in paths if (folder / path).is_file()}
