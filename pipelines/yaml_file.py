"""YAML files a person wrote, read through OmegaConf; what is wrong with one is a sentence."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from cluster.errors import ConfigError


def read_yaml(path: str | Path, what: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The keys of the YAML file at `path`, `overrides` (`key=value`) on top, interpolations resolved.

    `what` names the file's role in the sentence of a `ConfigError`.
    """
    try:
        # What has a name and is no file may never end; a shell's <(…) has none.
        place = Path(os.path.realpath(path))
        if place.exists() and not (place.is_file() or place.is_dir()):
            raise ConfigError(f"{what} {path} is a pipe or a device; give a file")
        loaded = OmegaConf.load(path)
        if not isinstance(loaded, DictConfig):
            raise ConfigError(f"{what} {path} holds a list or a text; keys with values are wanted")
        merged = OmegaConf.merge(loaded, *(_read_override(override) for override in overrides))
        values: Any = OmegaConf.to_container(merged, resolve=True)
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path} is not text in UTF-8") from error
    except YAMLError as error:
        raise ConfigError(f"{what} {path} is not YAML: {_yaml_problem(error)}") from error
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        said = str(error).splitlines()[0].removeprefix("KeyError raised while resolving interpolation: ")
        raise ConfigError(f"{what} {path}: {said.strip(chr(34))}") from error
    return {str(key): value for key, value in values.items()}


def _read_override(override: str) -> DictConfig:
    name, equals, _ = override.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"{override!r} is not key=value, as in sampling.steps=20")
    try:
        return OmegaConf.from_dotlist([override])
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"the value of {override!r} is not YAML; quote it, as in 'key=\"a: b\"'") from error


def _yaml_problem(error: Any) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return str(error).splitlines()[0]
    return f"{problem} in line {mark.line + 1}"
