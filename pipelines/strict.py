"""Plain values from YAML into frozen dataclasses, strictly: every wrong key or value is one sentence.

A field may carry its own reader: ``field(metadata={"read": function})`` with ``function(value, key) -> value``.
"""

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from cluster.errors import ConfigError

T = TypeVar("T")


def build(cls: type[T], values: object, key: str = "") -> T:
    """Build dataclass `cls` from `values`, whose place in the config is `key` ("" for the whole of it).

    Raises `ConfigError` for an unknown key (naming the nearest known one), a missing one and a wrong value.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key or 'the config'} is {_show(values)}; keys with values are wanted")
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    for name in values:
        if name not in fields:
            raise ConfigError(_unknown(cls, str(name), key))
    hints = typing.get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for name, field in fields.items():
        place = _join(key, name)
        if name in values:
            read = field.metadata.get("read")
            arguments[name] = read(values[name], place) if read else convert(values[name], hints[name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{place} is missing; {_wanted(hints[name])} is wanted")
    return cls(**arguments)


def convert(value: object, hint: Any, key: str) -> Any:
    """`value` as the type `hint` wants it, or a `ConfigError` with the key, the value and what is wanted."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, hint, key)
    if origin is typing.Literal:
        if value in typing.get_args(hint) and not isinstance(value, bool):
            return value
    elif origin is tuple:
        if isinstance(value, Sequence) and not isinstance(value, str):
            return _convert_items(value, typing.get_args(hint), hint, key)
    elif dataclasses.is_dataclass(hint):
        return build(typing.cast(type[Any], hint), value, key)
    elif _is_plain(value, hint):
        return float(typing.cast(float, value)) if hint is float else value
    raise ConfigError(f"{key} is {_show(value)}; {_wanted(hint)} is wanted")


def known_keys(cls: Any, key: str = "") -> list[str]:
    """All dotted keys of dataclass `cls` and of the dataclasses within it."""
    keys: list[str] = []
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        place = _join(key, field.name)
        keys.append(place)
        if dataclasses.is_dataclass(hints[field.name]):
            keys += known_keys(hints[field.name], place)
    return keys


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that looks most like `word`."""
    return max(known, key=lambda other: _likeness(word, other))


def _likeness(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, word, other).ratio()


def _convert_union(value: object, hint: Any, key: str) -> Any:
    for option in typing.get_args(hint):
        if option is types.NoneType:
            if value is None:
                return None
            continue
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return build(typing.cast(type[Any], option), value, key)
        try:
            return convert(value, option, key)
        except ConfigError:
            continue
    raise ConfigError(f"{key} is {_show(value)}; {_wanted(hint)} is wanted")


def _convert_items(value: Sequence[object], items: tuple[Any, ...], hint: Any, key: str) -> tuple[Any, ...]:
    if items[-1] is Ellipsis:
        return tuple(convert(item, items[0], f"{key}[{index}]") for index, item in enumerate(value))
    if len(value) != len(items):
        raise ConfigError(f"{key} is {_show(value)}; {_wanted(hint)} is wanted")
    return tuple(convert(item, kind, f"{key}[{at}]") for at, (item, kind) in enumerate(zip(value, items, strict=True)))


def _is_plain(value: object, hint: Any) -> bool:
    if hint is Any:
        return True
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, hint)


def _unknown(cls: type[Any], name: str, key: str) -> str:
    leaves = {place.rpartition(".")[2]: place for place in known_keys(cls, key)}
    siblings = {field.name: _join(key, field.name) for field in dataclasses.fields(cls)}
    likeness = {place: _likeness(name, leaf) for leaf, place in leaves.items()}
    likeness |= {place: _likeness(name, leaf) + 0.1 for leaf, place in siblings.items()}
    return f"unknown key {_join(key, name)}; the nearest known one is {max(likeness, key=lambda k: likeness[k])}"


def _wanted(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
    if hint in names:
        return names[hint]
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_wanted(item) for item in items)
    if origin is typing.Literal:
        return " or ".join(str(item) for item in items)
    if origin is tuple:
        return "a list" if items[-1] is Ellipsis else f"a list of {len(items)}"
    return "keys with values" if dataclasses.is_dataclass(hint) else "a value"


def _show(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
