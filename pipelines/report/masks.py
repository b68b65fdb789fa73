"""Secrets in a text for people: values of keys that are called like one, and users with passwords in URLs."""

import re
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]

MASK = "***"
_NAMES = (
    *("token", "password", "passwd", "passphrase", "pass", "pwd", "secret", "secrets", "key", "keys", "apikey"),
    *("accesskey", "secretkey", "credential", "credentials", "auth", "authorization", "cookie", "signature", "sas"),
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_USER = re.compile(r"(?<=://)[^\s/?#'\"]+(?=@)")
_NAME = re.compile(r"""([A-Za-z][\w.-]*)["']?[ \t]*[=:][ \t]*["']?""")
_VALUE = re.compile(r"""((Bearer|Basic) )?[^\s"'&;,}\]]+""")
_KNOWN = re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|\b(hf|gh[opsu]|glpat|sk)[_-][0-9A-Za-z_-]{16,}")


class NotYaml(ValueError):
    """The message says why, and in which line."""


def is_secret(name: str) -> bool:
    """Whether a key of this name has a secret value: token, HF_TOKEN, apiKey, but not text_tokens."""
    return any(word.lower() in _NAMES for word in _WORDS.findall(name))


def masked_text(text: str) -> str:
    """`text` without the users of URLs, the values in ``token=…`` and what has the form of a known kind of key."""
    text = _USER.sub(MASK, text)
    pieces, place = [], 0
    for name in _NAME.finditer(text):
        value = _VALUE.match(text, name.end())
        if name.start() >= place and value and is_secret(name[1]):
            pieces += [text[place : name.end()], MASK]
            place = value.end()
    return _KNOWN.sub(MASK, "".join([*pieces, text[place:]]))


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
    for start, end in sorted(_secret_spans(root)):
        if start >= place:
            pieces += [masked_text(text[place:start]), MASK, "\n" if text[start:end].endswith("\n") else ""]
            place = end
    return "".join([*pieces, masked_text(text[place:])])


def _secret_spans(root: Any) -> Iterator[tuple[int, int]]:
    """Where values of secret keys stand; each node is looked at once, however many aliases lead to it."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and is_secret(key.value):
                    if value.start_mark.index != value.end_mark.index:
                        yield value.start_mark.index, value.end_mark.index
                else:
                    waiting += (key, value)
