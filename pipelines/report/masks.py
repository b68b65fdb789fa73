"""Secrets in a text for people: values of keys that are called like one, and users with passwords in URLs."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import yaml  # type: ignore[import-untyped]

from pipelines.report.known_keys import KNOWN_KEY

MASK = "***"
_NAMES = (
    *("token", "password", "passwd", "passphrase", "pass", "pwd", "pw", "secret", "secrets", "key", "keys", "apikey"),
    *("accesskey", "secretkey", "credential", "credentials", "auth", "authorization", "cookie", "signature", "sas"),
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_AFTER_SCHEME = re.compile(r"(?<=://)[^\s'\"]++")
_AUTHORITY = re.compile(r"[^/?#]*+")
_NAME = re.compile(r"""(?<![\w.-])([\w.-]++)(?:\\?["']?[ \t]*+[=:][ \t]*+|(\s++))\\?["']?""")
"""A name from its first character on, or every character of a long one would be tried as the first."""
_VALUE = re.compile(r"""(?<=")[^"\n]++|(?<=')[^'\n]++|((Bearer|Basic)\s+)?[^\s"'&;,}\]]+""")


class NotYaml(ValueError):
    """The message says why, and in which line."""


def is_secret(name: str) -> bool:
    """Whether a key of this name has a secret value: token, HF_TOKEN, apiKey, but not text_tokens."""
    return any(word.lower() in _NAMES for word in _WORDS.findall(name))


def masked_text(text: str) -> str:
    """`text` without known kinds of keys, the users of URLs, and the values in ``token=…`` and ``--token …``."""
    text = _AFTER_SCHEME.sub(_without_user, KNOWN_KEY.sub(MASK, text))
    pieces, place = [], 0
    name = _NAME.search(text)
    while name:
        end = name.end()
        is_named = name[2] is None or name[1].startswith("-")
        if is_named and is_secret(name[1]) and (value := _VALUE.match(text, end)):
            pieces += [text[place:end], MASK]
            place = end = value.end()
        name = _NAME.search(text, end)
    return "".join([*pieces, text[place:]])


def _without_user(found: re.Match[str]) -> str:
    """What follows a scheme, up to its last @ masked if a user is before that; a password may have any character."""
    rest, place = found[0], 0
    at = rest.rfind("@")
    while place < at:
        authority = _AUTHORITY.match(rest, place)
        if authority and ("@" in authority[0] or ":" in authority[0]):
            return rest[:place] + MASK + rest[at:]
        inner = rest.find("://", place)
        place = inner + 3 if inner >= 0 else at
    return rest


def masked_yaml(text: str) -> str:
    """The YAML `text`, otherwise as it is written, with the values of keys that `is_secret` masked, whatever they are.

    Raises `NotYaml`: of what cannot be understood, nobody knows where its values end.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise NotYaml(f"{error.problem}{line}") from error
    except yaml.YAMLError as error:
        raise NotYaml((str(error).splitlines() or ["?"])[0]) from error
    except RecursionError as error:
        raise NotYaml("it is too deeply nested") from error
    pieces, place = [], 0
    for start, end, shown in sorted(_changes(root, text)):
        if start >= place:
            pieces += [masked_text(text[place:start]), shown]
            place = end
    return "".join([*pieces, masked_text(text[place:])])


def _changes(root: Any, text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, what to show there); each node is looked at once, however many aliases lead to it."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            masked = masked_text(node.value)
            if masked != node.value:
                yield _changed(node, text, masked)
            continue
        secret = list(_secret_values(node))
        yield from (_changed(value, text) for value in secret if value.start_mark.index != value.end_mark.index)
        inside = (part for pair in node.value for part in pair) if isinstance(node, yaml.MappingNode) else node.value
        hidden = {id(value) for value in secret}
        waiting += [part for part in inside if id(part) not in hidden]


def _secret_values(node: Any) -> Iterator[Any]:
    """Of a mapping the values of secret names, as in {token: X} and {name: TOKEN, value: X}; of a list, of flags."""
    if isinstance(node, yaml.MappingNode):
        texts = {_plain(key).lower(): _plain(value) for key, value in node.value}
        is_named = is_secret(texts.get("name", "")) or is_secret(texts.get("key", ""))
        for key, value in node.value:
            if is_secret(_plain(key)) or (is_named and _plain(key).lower() == "value"):
                yield value
    else:
        for flag, value in pairwise(node.value):
            if re.fullmatch(r"--?[\w.-]+", _plain(flag)) and is_secret(_plain(flag)):
                yield value


def _plain(node: Any) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _changed(node: Any, text: str, masked: str | None = None) -> tuple[int, int, str]:
    """A node as `masked`, in its own style if its text stands there as it is read; without `masked`, all of it."""
    start, end = node.start_mark.index, node.end_mark.index
    raw = text[start:end]
    if masked is not None and node.value in raw:
        return start, end, raw.replace(node.value, masked)
    if masked is not None and node.style == "|":
        return start, end, masked_text(raw)
    return start, end, MASK + "\n" * raw.endswith("\n")
