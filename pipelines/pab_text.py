"""What a person writes for `pab`, into a `PabConfig`: off, a preset, a file, one line of text, or keys with values."""

import re
from collections.abc import Mapping
from pathlib import Path

from cluster.errors import ConfigError
from cluster.pab import PabConfig
from pipelines.places import config_folders
from pipelines.strict import build, nearest
from pipelines.yaml_file import read_yaml

EXAMPLE = "spatial=2,temporal=3,cross=6,timesteps=100:800"
_WHOLE = r"[0-9]{1,4000}"
_NUMBER = r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_MLP = re.compile(rf"((?:{_WHOLE}(?:\+{_WHOLE})*)?)@((?:{_NUMBER}(?:\+{_NUMBER})*)?)x({_WHOLE})")
"""The lists may be empty and the timesteps have exponents: every `PabConfig.text()` is read back."""
_KEYS = ("spatial", "temporal", "cross", "timesteps", "window", "mlp", "cache_dtype", "cache_budget_gb")
_NUMBERS = ("spatial", "temporal", "cross", "cache_budget_gb")


def read_pab(value: object, key: str = "pab") -> PabConfig:
    """The `PabConfig` that `value` stands for.

    `value` is off (also YAML's false or nothing), the name of a preset in configs/pab, a YAML file's path,
    one line like `spatial=2,temporal=3,cross=6,timesteps=100:800` (or `window=0.15:0.85`, and
    `mlp=0+1+2@720+640x2`: blocks @ first timesteps x steps that reuse), or a mapping of the same keys.
    """
    if value is None or value is False or value == "off":
        return PabConfig()
    if isinstance(value, Mapping):
        return _from_mapping(value, key)
    if not isinstance(value, str):
        raise ConfigError(f"{key} is {value!r}; off, a preset, a file, a text like {EXAMPLE}, or keys are wanted")
    if "=" in value:
        return _from_mapping(_split_line(value, key), key)
    if value.endswith((".yaml", ".yml")):
        return _from_file(Path(value), key)
    return _from_preset(value, key)


def check_blocks(pab: PabConfig, num_layers: int) -> None:
    """Raise `ConfigError` if `pab` reuses the MLP of a block that a model of `num_layers` lacks."""
    beyond = [block for block in pab.mlp.blocks if block >= num_layers] if pab.mlp else []
    if beyond:
        raise ConfigError(f"pab reuses the mlp of block {beyond[0]}; the model has blocks 0 to {num_layers - 1}")


def presets() -> dict[str, Path]:
    """Each preset's file by name."""
    files = [file for folder in reversed(config_folders("pab")) for file in sorted(folder.glob("*.yaml"))]
    return {file.stem: file for file in files}


def _from_preset(name: str, key: str) -> PabConfig:
    known = presets()
    if name not in known:
        names = ", ".join(known)
        near = f"; did you mean {nearest(name, list(known))}?" if known else ""
        raise ConfigError(f"{key} {name!r} is neither a preset ({names}) nor a .yaml file nor like {EXAMPLE}{near}")
    return _from_file(known[name], key)


def _from_file(path: Path, key: str) -> PabConfig:
    return _from_mapping(read_yaml(path, f"{key}: the schedule file"), f"{key} ({path.name})")


def _from_mapping(values: object, key: str) -> PabConfig:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key} holds {values!r}; keys are wanted: {', '.join(_KEYS)}")
    plain = dict(values)
    for name in ("timesteps", "window"):
        if isinstance(plain.get(name), str):
            plain[name] = _pair(plain[name], f"{key}.{name}")
    if isinstance(plain.get("mlp"), str):
        plain["mlp"] = _mlp(plain["mlp"], f"{key}.mlp")
    return build(PabConfig, plain, key)


def _split_line(line: str, key: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for part in line.split(","):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not text:
            raise ConfigError(f"{key} has {part.strip()!r}; key=value is wanted, as in {EXAMPLE}")
        if name in values:
            raise ConfigError(f"{key} has {name} twice")
        values[name] = _number(text) if name in _NUMBERS else text
    return values


def _number(text: str) -> int | float | str:
    """A number, or the text for `build` to complain of."""
    if re.fullmatch(rf"[+-]?{_WHOLE}", text):
        return int(text)
    return float(text) if re.fullmatch(_NUMBER, text) else text


def _pair(text: str, key: str) -> list[float]:
    parts = text.split(":")
    try:
        low, high = (float(part) for part in parts)
    except ValueError as error:
        raise ConfigError(f"{key} is {text!r}; two numbers are wanted, as in 100:800") from error
    return [low, high]


def _mlp(text: str, key: str) -> dict[str, object]:
    match = _MLP.fullmatch(text)
    if match is None:
        raise ConfigError(f"{key} is {text!r}; blocks @ timesteps x steps are wanted, as in 0+1+2@720+640x2")
    blocks, starts, steps = match.groups()
    return {
        "blocks": [int(block) for block in re.findall(_WHOLE, blocks)],
        "starts": [float(start) for start in re.findall(_NUMBER, starts)],
        "steps": int(steps),
    }
